"""The charts of reports, as Vega-Lite specifications."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from foretell.report.page import Chart
from foretell.studies.table import CEILING

__all__ = [
    "KINDS",
    "ON_PAPER",
    "ceiling_of",
    "cost",
    "curves_chart",
    "forest",
    "foretold_chart",
    "front_chart",
    "graph_chart",
    "points_chart",
    "records",
    "scatter",
    "small_multiples",
    "worth_chart",
]

ON_PAPER = 1_000
"""The most points in a static panel; more would make a large file and an unreadable plot."""
FEW = 60
"""The most x values at which a line is also drawn with points."""
SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
KINDS: Mapping[str, str] = {
    "proxy": "#3f7fbf",
    "ranking": "#b15ea8",
    "baseline": "#8a8f98",
    "reduced": "#e08a2c",
    "ceiling": "#3f9e5a",
}
"""The kinds of rows in the table of a study, with their colours in light and dark mode."""


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON values, with null for undefined ones.

    >>> records(pd.DataFrame({"a": [1.0, float("nan")]}))
    [{'a': 1.0}, {'a': None}]
    """
    plain = frame.astype(object).where(frame.notna(), None)
    return [{str(name): value for name, value in row.items()} for row in plain.to_dict("records")]


def chart(data: list[dict[str, Any]], **rest: Any) -> Chart:
    """A specification with the members that all charts share."""
    return {"$schema": SCHEMA, "data": {"values": data}, "width": "container", **rest}


def colour(field: str = "kind") -> dict[str, Any]:
    """The colour encoding of the kinds."""
    scale = {"domain": list(KINDS), "range": list(KINDS.values())}
    return {"field": field, "type": "nominal", "scale": scale, "legend": {"title": None}}


def scatter(scores: pd.DataFrame, truth: str, unit: str) -> Chart:
    """Score against accuracy, one point per architecture, with a menu of the scores.

    `scores` is indexed by architecture and contains the truth column in addition to the scores.
    """
    names = [str(name) for name in scores if name != truth]
    ranks = scores[names].rank(pct=True).mul(100).round(2).add_prefix("rank of ")
    values = scores[names].add_prefix("value of ")
    heights = scores[truth].rank(pct=True).mul(100).round(2)
    frame = ranks.join(values).assign(accuracy=scores[truth], height=heights)
    data = records(frame.rename_axis("arch").reset_index())
    return chart(
        data,
        height=380,
        usermeta={"renderer": "canvas"},
        params=[
            {"name": "score", "value": names[0], "bind": {"input": "select", "options": names}},
            {
                "name": "axis",
                "value": "rank of ",
                "bind": {
                    "input": "radio",
                    "options": ["rank of ", "value of "],
                    "labels": ["rank (100 = highest)", "value"],
                    "name": "shown as ",
                },
            },
            {
                "name": "upright",
                "value": "accuracy",
                "bind": {
                    "input": "radio",
                    "options": ["accuracy", "height"],
                    "labels": ["value", "rank"],
                    "name": "truth as ",
                },
            },
        ],
        transform=[
            {"calculate": "datum[axis + score]", "as": "x"},
            {"calculate": "datum[upright]", "as": "y"},
            {"calculate": "datum['value of ' + score]", "as": "value"},
            {"filter": "isValid(datum.x)"},
        ],
        mark={"type": "circle", "opacity": 0.55, "size": 26, "color": KINDS["proxy"]},
        encoding={
            "x": {"field": "x", "type": "quantitative", "title": "score", "scale": {"zero": False}},
            "y": {**accuracy(truth, unit), "field": "y"},
            "tooltip": [
                {"field": "arch", "title": "architecture"},
                {"field": "value", "title": "score", "format": ".6g"},
                {"field": "accuracy", "title": truth, "format": ".2f"},
            ],
        },
    )


def accuracy(truth: str, unit: str) -> dict[str, Any]:
    """The axis of the truth column."""
    title = f"{truth} ({unit})" if unit else truth
    return {"field": "accuracy", "type": "quantitative", "title": title, "scale": {"zero": False}}


def small_multiples(scores: pd.DataFrame, truth: str, unit: str) -> Chart:
    """The same as a static figure: one panel per score, with its ranks against the accuracy.

    Of more than `ON_PAPER` architectures, a random sample of that size is shown.
    """
    names = [str(name) for name in scores if name != truth]
    ranks = scores[names].rank(pct=True).mul(100).round(2).assign(accuracy=scores[truth])
    if len(ranks) > ON_PAPER:
        ranks = ranks.sample(ON_PAPER, random_state=0)
    long = ranks.melt(id_vars="accuracy", var_name="score", value_name="rank").dropna()
    return {
        **chart(records(long)),
        "width": 170,
        "height": 130,
        "mark": {"type": "circle", "opacity": 0.4, "size": 8, "color": KINDS["proxy"]},
        "encoding": {
            "x": {"field": "rank", "type": "quantitative", "title": "rank of the score"},
            "y": accuracy(truth, unit),
            "facet": {
                "field": "score",
                "type": "nominal",
                "columns": 4,
                "sort": names,
                "title": None,
            },
        },
    }


def forest(table: pd.DataFrame) -> Chart:
    """ρ with its interval for each score, best first, and the published values."""
    shown = table[table["spearman"].notna()].rename_axis("score").reset_index()
    order = {"field": "spearman", "order": "descending"}
    y = {"field": "score", "type": "nominal", "title": None, "sort": order}
    x = {"type": "quantitative", "title": "Spearman's ρ with the accuracy, 95 % interval"}
    tooltip = [
        {"field": "score"},
        *({"field": name, "format": ".3f"} for name in ("spearman", "spearman_low")),
        {"field": "spearman_high", "format": ".3f"},
        {"field": "published", "format": ".3f"},
    ]
    columns = ["score", "kind", "spearman", "spearman_low", "spearman_high", "published"]
    published = {
        "transform": [{"filter": "isValid(datum.published)"}],
        "mark": {"type": "point", "shape": "diamond", "size": 80, "color": "#c44e4e"},
        "encoding": {"x": {**x, "field": "published"}, "tooltip": tooltip},
    }
    return chart(
        records(shown[columns]),
        height=22 * len(shown),
        encoding={"y": y},
        layer=[
            {
                "mark": {"type": "rule", "strokeDash": [2, 3], "color": "#8a8f98"},
                "encoding": {"x": {"datum": 0}, "y": None},
            },
            {
                "mark": {"type": "rule", "strokeWidth": 2},
                "encoding": {
                    "x": {**x, "field": "spearman_low"},
                    "x2": {"field": "spearman_high"},
                    "color": colour(),
                },
            },
            {
                "mark": {"type": "circle", "size": 70, "opacity": 1},
                "encoding": {
                    "x": {**x, "field": "spearman"},
                    "color": colour(),
                    "tooltip": tooltip,
                },
            },
            *([published] if shown["published"].notna().any() else []),
        ],
    )


def cost(table: pd.DataFrame, price: str, title: str) -> Chart:
    """ρ against the cost of a score, on a logarithmic axis; `price` is a column of the table."""
    shown = table[(table[price] > 0) & table["spearman"].notna()]
    shown = shown[shown["kind"] != "ceiling"].rename_axis("score").reset_index()
    ceiling = ceiling_of(table)
    x = {
        "field": price,
        "type": "quantitative",
        "title": title,
        "scale": {"type": "log", "padding": 30},
    }
    y = {"type": "quantitative", "title": "Spearman's ρ"}
    shown["label"] = sparse_labels(shown, price)
    columns = ["score", "label", "kind", price, "spearman", "spearman_low", "spearman_high"]
    line = {"type": "rule", "strokeDash": [5, 4], "color": KINDS["ceiling"]}
    above = [{"mark": line, "encoding": {"y": {"datum": ceiling}}}] if ceiling is not None else []
    return chart(
        records(shown[columns]),
        height=340,
        layer=[
            *above,
            {
                "mark": {"type": "rule"},
                "encoding": {
                    "x": x,
                    "y": {**y, "field": "spearman_low"},
                    "y2": {"field": "spearman_high"},
                    "color": colour(),
                },
            },
            {
                "mark": {"type": "circle", "size": 70, "opacity": 1},
                "encoding": {
                    "x": x,
                    "y": {**y, "field": "spearman"},
                    "color": colour(),
                    "tooltip": [
                        {"field": "score"},
                        {"field": "spearman", "format": ".3f"},
                        {"field": price, "format": ".3g"},
                    ],
                },
            },
            {
                "mark": {"type": "text", "align": "left", "dx": 6, "dy": -5, "fontSize": 11},
                "encoding": {"x": x, "y": {**y, "field": "spearman"}, "text": {"field": "label"}},
            },
        ],
    )


def ceiling_of(table: pd.DataFrame) -> float | None:
    """The ρ of the noise ceiling; None if the benchmark has none or it is undefined."""
    found = table["spearman"].reindex([CEILING]).iloc[0]
    return None if pd.isna(found) else float(found)


def sparse_labels(shown: pd.DataFrame, price: str) -> list[str]:
    """The names of the scores; empty where a label would overlap that of a better score."""
    placed: list[tuple[float, float]] = []
    labels = dict.fromkeys(shown.index, "")
    for index, row in shown.sort_values("spearman", ascending=False).iterrows():
        at = (math.log10(row[price]), float(row["spearman"]))
        if all(abs(at[0] - x) > 0.35 or abs(at[1] - y) > 0.05 for x, y in placed):
            placed.append(at)
            labels[index] = str(row["score"])
    return list(labels.values())


def curves_chart(
    band: pd.DataFrame, across: str, title: str, report: str, *, steps: bool = False
) -> Chart:
    """Mean and quartiles of each strategy; clicking a name in the legend highlights it.

    With `steps`, a line is constant until there is an improvement. The y axis starts at the lowest
    mean after a fifteenth of the trainings.
    """
    after = band[band["trainings"] >= max(band["trainings"].max() / 15, 1)]
    floor = float(after["mean"].min())
    order = list(dict.fromkeys(band["strategy"]))
    shown = band.assign(low=band["low"].clip(lower=floor))
    x = {"field": across, "type": "quantitative", "title": title, "axis": {"tickMinStep": 1}}
    y = {
        "type": "quantitative",
        "title": report,
        "scale": {"domainMin": floor, "zero": False, "clamp": True},
    }
    colour = {"field": "strategy", "type": "nominal", "sort": order}
    picked = {"condition": {"param": "picked", "empty": True, "value": 1}, "value": 0.06}
    pick = {"type": "point", "fields": ["strategy"]}
    below = {"title": None, "orient": "bottom", "columns": 3, "symbolOpacity": 1}
    legend = {**colour, "legend": below, "scale": {"scheme": "tableau20"}}
    columns = ["strategy", across, "mean", "low", "high"]
    stairs = {"interpolate": "step-after"} if steps else {}
    way = {**stairs, "point": steps and shown[across].nunique() <= FEW}
    return chart(
        records(shown[columns].round(4)),
        height=400,
        layer=[
            {
                "mark": {"type": "area", "opacity": 0.12, "clip": True, **stairs},
                "transform": [{"filter": {"param": "picked", "empty": True}}],
                "encoding": {
                    "x": x,
                    "y": {**y, "field": "low"},
                    "y2": {"field": "high"},
                    "color": legend,
                },
            },
            {
                "params": [{"name": "picked", "select": pick, "bind": "legend"}],
                "mark": {"type": "line", "strokeWidth": 2, "clip": True, **way},
                "encoding": {
                    "x": x,
                    "y": {**y, "field": "mean"},
                    "color": legend,
                    "opacity": picked,
                    "tooltip": [{"field": "strategy"}, {"field": across}, {"field": "mean"}],
                },
            },
        ],
    )


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
            "color": {"field": "arm", "type": "nominal", "legend": {"title": None}},
            "tooltip": [{"field": "arch"}, {"field": "x", "title": across}, {"field": "y"}],
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
    """The correlation of each `score` and its interval, one below the other by `results`."""
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
        "color": {**counts, "scale": {"scheme": "blues", "extent": [0.45, 1]}, "legend": below},
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
    """The `value` of networks against the place that was `expected`, in % from the top."""
    axis = {"type": "quantitative", "scale": {"zero": False}}
    return chart(
        records(frame.round(4)),
        height=320,
        mark={"type": "circle", "size": 70, "opacity": 0.8, "color": KINDS["proxy"]},
        encoding={
            "x": {**axis, "field": "expected", "title": "expected before, % from the top"},
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
                "mark": {"type": "line", "color": "#8a8f98", "strokeWidth": 1.2},
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
