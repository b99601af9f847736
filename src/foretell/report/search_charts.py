"""Charts of searches: scores, results and costs of networks, and pictures of architectures."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from foretell.report.charts import ARM, GREY, KINDS, chart, records
from foretell.report.page import Chart

__all__ = [
    "by_option",
    "foretold_chart",
    "front_chart",
    "graph_chart",
    "learning_chart",
    "options_chart",
    "points_chart",
    "pool_chart",
    "worth_chart",
]

DARKER = {"name": "blues", "extent": [0.45, 1]}
"""Colours of an order, without those that are too light on white."""
TICKS = 10
"""The maximum number of ticks of an axis with whole numbers."""
BARS = 30
"""The number of bars of a histogram."""
TAIL = 0.02
"""The share of the pool at either end whose scores are drawn at the end of the axis."""


def pool_chart(pool: pd.Series, trained: pd.DataFrame, title: str) -> Chart:
    """A histogram of the pool's scores, and below it a tick for each trained network of an arm.

    `trained` has the columns `arm`, `arch` and `value`. The share `TAIL` of the pool at either end
    is drawn at the ends of the axis.
    """
    known = pool.replace([np.inf, -np.inf], np.nan).dropna().to_numpy(dtype=float)
    low, high = np.quantile(known, [TAIL, 1 - TAIL])
    if low == high:
        low, high = low - 0.5, high + 0.5
    counts, edges = np.histogram(known.clip(low, high), bins=BARS, range=(low, high))
    bars = [
        {"from": float(a), "to": float(b), "networks": int(n)}
        for a, b, n in zip(edges, edges[1:], counts, strict=False)
    ]
    lane = 0.07 * max(counts)
    arms = list(dict.fromkeys(trained["arm"]))
    ticks = trained.assign(at=trained["value"].clip(low, high))
    ticks["from"] = [-lane * arms.index(arm) - 0.25 * lane for arm in ticks["arm"]]
    ticks["to"] = ticks["from"] - 0.7 * lane
    x = {"type": "quantitative", "title": title, "scale": {"domain": [low, high], "nice": False}}
    y = {"type": "quantitative", "title": "networks of the pool"}
    whole = {"tickMinStep": 1, "values": sorted({0, *map(int, np.linspace(0, max(counts), 5))})}
    return chart(
        bars,
        height=300,
        layer=[
            {
                "mark": {"type": "bar", "color": GREY, "binSpacing": 1},
                "encoding": {
                    "x": {**x, "field": "from", "bin": "binned"},
                    "x2": {"field": "to"},
                    "y": {**y, "field": "networks", "axis": whole},
                    "tooltip": [
                        {"field": "from", "format": ".4g"},
                        {"field": "to", "format": ".4g"},
                        {"field": "networks"},
                    ],
                },
            },
            {
                "data": {"values": records(ticks.dropna(subset="at"))},
                "mark": {"type": "rule", "strokeWidth": 2},
                "encoding": {
                    "x": {**x, "field": "at"},
                    "y": {**y, "field": "from"},
                    "y2": {"field": "to"},
                    "color": ARM,
                    "tooltip": [
                        {"field": "arm"},
                        {"field": "arch", "title": "architecture"},
                        {"field": "value", "title": title, "format": ".5g"},
                    ],
                },
            },
        ],
    )


def learning_chart(epochs: pd.DataFrame, title: str) -> Chart:
    """One line per training; `epochs` has the columns `arm`, `arch`, `epoch` and `value`."""
    first, last = epochs["epoch"].min(), epochs["epoch"].max()
    whole = sorted({*map(int, np.linspace(first, last, TICKS))})
    return chart(
        records(epochs.round(4)),
        height=320,
        mark={"type": "line", "strokeWidth": 1.6, "point": {"size": 14}, "opacity": 0.85},
        encoding={
            "x": {
                "field": "epoch",
                "type": "quantitative",
                "title": "epoch",
                "axis": {"values": whole, "format": "d"},
            },
            "y": {"field": "value", "type": "quantitative", "title": title},
            "color": ARM,
            "detail": {"field": "arch"},
            "tooltip": [
                {"field": "arm"},
                {"field": "arch", "title": "architecture"},
                {"field": "epoch"},
                {"field": "value", "title": title, "format": ".4g"},
            ],
        },
    )


def by_option(archs: pd.DataFrame) -> pd.DataFrame:
    """Rows with `choice` and `option` for each choice of each `arch`, keeping the other columns.

    Empty if an architecture is not written as options such as `depth=4,width=8`.

    >>> by_option(pd.DataFrame({"arch": ["depth=4,width=8"], "value": [0.9]})).values.tolist()
    [['depth=4,width=8', 0.9, 'depth', '4'], ['depth=4,width=8', 0.9, 'width', '8']]
    """
    rows = []
    for row in archs.to_dict("records"):
        pairs = [part.partition("=") for part in str(row["arch"]).split(",")]
        if not all(equals for _, equals, _ in pairs):
            return archs.iloc[:0].assign(choice="", option="")
        rows += [{**row, "choice": choice, "option": option} for choice, _, option in pairs]
    return pd.DataFrame(rows)


def options_chart(results: pd.DataFrame, title: str) -> Chart:
    """The results of trained networks by option, and the mean of each; see `by_option`."""
    shown = results.assign(label=results["choice"] + ": " + results["option"])
    order = [
        label
        for _, own in shown.groupby("choice", sort=False)
        for label in sorted(own["label"].unique(), key=natural)
    ]
    place = {"field": "label", "type": "nominal", "sort": order, "title": None}
    y = {"type": "quantitative", "title": title}
    x = {**place, "axis": {"labelAngle": -60}}
    return chart(
        records(shown[["arm", "arch", "choice", "option", "label", "value"]]),
        height=300,
        layer=[
            {
                "mark": {"type": "circle", "size": 45, "opacity": 0.8},
                "encoding": {
                    "x": x,
                    "y": {**y, "field": "value"},
                    "color": ARM,
                    "tooltip": [
                        {"field": "arch", "title": "architecture"},
                        {"field": "value", "title": title, "format": ".4g"},
                    ],
                },
            },
            {
                "mark": {"type": "tick", "thickness": 2, "size": 22, "color": GREY},
                "encoding": {"x": x, "y": {**y, "field": "value", "aggregate": "mean"}},
            },
        ],
    )


def natural(label: str) -> tuple[float, str]:
    """A sort key that orders options which are numbers by their value.

    >>> sorted(["width: 16", "width: 4"], key=natural)
    ['width: 4', 'width: 16']
    """
    option = label.partition(": ")[2]
    return (float(option) if option.replace(".", "", 1).isdigit() else 0.0, option)


def points_chart(frame: pd.DataFrame, across: str, up: str) -> Chart:
    """Two columns against each other, coloured by `arm`."""
    shown = frame[["arm", "arch", across, up]].rename(columns={across: "x", up: "y"})
    axis = {"type": "quantitative", "scale": {"zero": False}}
    return chart(
        records(shown.dropna()),
        height=320,
        mark={"type": "circle", "size": 70, "opacity": 0.8},
        encoding={
            "x": {**axis, "field": "x", "title": across},
            "y": {**axis, "field": "y", "title": up},
            "color": ARM,
            "tooltip": [
                {"field": "arch", "title": "architecture"},
                {"field": "x", "title": across, "format": ".5g"},
                {"field": "y", "title": up, "format": ".4g"},
            ],
        },
    )


def front_chart(frame: pd.DataFrame, across: str, up: str) -> Chart:
    """As `points_chart`, with a step line per arm through the rows whose `front` is true."""
    points = points_chart(frame, across, up)
    line = {
        "transform": [{"filter": "datum.front"}],
        "mark": {"type": "line", "interpolate": "step-after", "strokeWidth": 1.5},
        "encoding": {
            "x": points["encoding"]["x"],
            "y": points["encoding"]["y"],
            "color": points["encoding"]["color"],
        },
    }
    known = frame[["arm", "arch", "front", across, up]].rename(columns={across: "x", up: "y"})
    circles = {"mark": points.pop("mark"), "encoding": points.pop("encoding")}
    return {**points, "data": {"values": records(known.dropna())}, "layer": [line, circles]}


def worth_chart(table: pd.DataFrame) -> Chart:
    """The correlation of each `score` with its interval, in one row per number of `results`."""
    columns = ["score", "results", "rho", "low", "high", "verdict"]
    last = table[table["results"] == table["results"].max()]
    order = last.sort_values("rho", ascending=False)["score"].tolist()
    scale = {"domain": [-1, 1]}
    across = {"type": "quantitative", "scale": scale, "title": "rank correlation with the result"}
    counts = {"field": "results", "type": "ordinal"}
    below = {"title": "results", "orient": "bottom"}
    place = {
        "y": {"field": "score", "type": "nominal", "sort": order, "title": None},
        "yOffset": counts,
        "color": {**counts, "scale": {"scheme": DARKER}, "legend": below},
        "tooltip": [{"field": name} for name in columns],
    }
    return chart(
        records(table[columns].round(3)),
        height={"step": 12},
        layer=[
            {
                "mark": {"type": "rule", "strokeWidth": 2},
                "encoding": {**place, "x": {**across, "field": "low"}, "x2": {"field": "high"}},
            },
            {
                "mark": {"type": "point", "filled": True, "size": 45, "opacity": 1},
                "encoding": {**place, "x": {**across, "field": "rho"}},
            },
            {"data": {"values": [{}]}, "mark": {"type": "rule"}, "encoding": {"x": {"datum": 0}}},
        ],
    )


def foretold_chart(frame: pd.DataFrame, title: str) -> Chart:
    """The `value` of networks against their `expected` rank, in % from the top."""
    axis = {"type": "quantitative", "scale": {"zero": False}}
    return chart(
        records(frame.round(4)),
        height=320,
        mark={"type": "circle", "size": 70, "opacity": 0.8, "color": KINDS["proxy"]},
        encoding={
            "x": {**axis, "field": "expected", "title": "expected rank, % from the top"},
            "y": {**axis, "field": "value", "title": title},
            "tooltip": [{"field": name} for name in ("arch", "expected", "value")],
        },
    )


def graph_chart(labels: Sequence[str], edges: Sequence[tuple[int, int]]) -> Chart:
    """A graph drawn from left to right; the x of a node is the length of the longest path to it."""
    places = placed(len(labels), edges)
    nodes = [{"x": x, "y": y, "label": label} for (x, y), label in zip(places, labels, strict=True)]
    lines = [
        {"line": number, "x": places[node][0], "y": places[node][1]}
        for number, edge in enumerate(edges)
        for node in edge
    ]
    no_axis = {"type": "quantitative", "axis": None, "scale": {"zero": False, "padding": 60}}
    position = {"x": {**no_axis, "field": "x"}, "y": {**no_axis, "field": "y"}}
    tall = 1 + len({y for _, y in places})
    return {
        **chart(nodes, height=40 * tall),
        "view": {"stroke": None},
        "layer": [
            {
                "data": {"values": lines},
                "mark": {"type": "line", "color": GREY, "strokeWidth": 1.2},
                "encoding": {**position, "detail": {"field": "line"}},
            },
            {
                "mark": {"type": "circle", "size": 130, "opacity": 1, "color": KINDS["proxy"]},
                "encoding": {**position, "tooltip": [{"field": "label"}]},
            },
            {
                "mark": {"type": "text", "dy": -13, "fontSize": 11},
                "encoding": {**position, "text": {"field": "label"}},
            },
        ],
    }


def placed(count: int, edges: Sequence[tuple[int, int]]) -> list[tuple[float, float]]:
    """The position of each node of an acyclic graph; no two nodes share one.

    Columns are alternately shifted up and down, so that an edge seldom passes through a node.

    >>> placed(4, [(0, 1), (0, 2), (1, 3), (2, 3), (0, 3)])
    [(0.0, 0.0), (1.0, -0.25), (1.0, 0.75), (2.0, 0.0)]
    """
    depth = [0] * count
    for _ in range(count):
        for source, target in edges:
            depth[target] = max(depth[target], depth[source] + 1)
    columns = {at: [node for node in range(count) if depth[node] == at] for at in depth}
    last = max(depth, default=0)
    return [
        (float(at), columns[at].index(node) - (len(columns[at]) - 1) / 2 + shift)
        for node, at in enumerate(depth)
        for shift in [0.25 * (1 if at % 2 else -1) if 0 < at < last else 0.0]
    ]
