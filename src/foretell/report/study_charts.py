"""Charts of studies: scores against accuracies, their correlations and costs, and the best k."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from foretell.report.charts import (
    GREY,
    KINDS,
    SERIES,
    chart,
    colour,
    faded_unless_picked,
    legend_below,
    picked_in_legend,
    records,
)
from foretell.report.page import Chart
from foretell.statistics.correlations import spearman
from foretell.statistics.tops import precision_at, regret_of_first
from foretell.studies.table import CEILING

__all__ = [
    "ON_PAPER",
    "agreement_chart",
    "agreements",
    "ceiling_of",
    "cost",
    "first_k",
    "first_k_chart",
    "forest",
    "scatter",
    "scatter_of",
    "small_multiples",
    "sparse_labels",
]

ON_PAPER = 1_000
"""The maximum number of points in a static panel, to keep files small and plots readable."""
NUMBERED = 20
"""The maximum number of columns of a heat map with numbers in its cells."""
COUNTS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000)
"""The values of k, the number of networks that are trained."""


def agreements(columns: pd.DataFrame) -> pd.DataFrame:
    """Spearman's ρ of every pair of columns, as rows `first`, `second` and `rho`.

    Undefined values rank last.

    >>> agreements(pd.DataFrame({"a": [1.0, 2, 3], "b": [2.0, 4, 3]}))["rho"].tolist()
    [1.0, 0.5, 0.5, 1.0]
    """
    names = [str(name) for name in columns]
    ranked = columns.astype(float).fillna(-np.inf)
    values = dict(zip(names, ranked.to_numpy().T, strict=True))
    half = {
        (a, b): float(spearman(values[a], values[b]))
        for index, a in enumerate(names)
        for b in names[index:]
    }
    rows = [(a, b, half.get((a, b), half.get((b, a)))) for a in names for b in names]
    return pd.DataFrame(rows, columns=["first", "second", "rho"])


def agreement_chart(rho: pd.DataFrame) -> Chart:
    """A heat map of `agreements`, with the numbers if there are few columns."""
    order = list(dict.fromkeys(rho["first"]))
    axis = {"type": "nominal", "sort": order, "title": None}
    place = {
        "x": {**axis, "field": "second", "axis": {"labelAngle": -60, "orient": "top"}},
        "y": {**axis, "field": "first"},
    }
    scale = {"domain": [-1, 1], "scheme": "redblue"}
    cells = {
        "mark": "rect",
        "encoding": {
            **place,
            "color": {"field": "rho", "type": "quantitative", "title": "ρ", "scale": scale},
            "tooltip": [
                {"field": "first", "title": "score"},
                {"field": "second", "title": "other score"},
                {"field": "rho", "title": "ρ", "format": ".3f"},
            ],
        },
    }
    numbers = {
        "mark": {"type": "text", "fontSize": 9},
        "encoding": {
            **place,
            "text": {"field": "rho", "type": "quantitative", "format": ".2f"},
            "color": {
                "condition": {"test": "abs(datum.rho) > 0.6", "value": "#fff"},
                "value": "#222",
            },
        },
    }
    layers = [cells, numbers] if len(order) <= NUMBERED else [cells]
    return chart(records(rho.round(3)), height=22 * len(order), layer=layers)


def first_k(scores: pd.DataFrame, truth: pd.Series, names: Sequence[str]) -> pd.DataFrame:
    """The precision and regret of training the k best networks by each of these scores, as rows.

    `precision` is the share of the k best by score that are among the k best by truth, and `regret`
    the truth lost against the best network of all. In `scores` and `truth`, higher must be better.
    The score `random` is the average of a random choice.

    >>> scores = pd.DataFrame({"snip": [1.0, 3.0, 2.0]})
    >>> first_k(scores, pd.Series([90.0, 92.0, 93.0]), ["snip"]).values.tolist()[:2]
    [['snip', 1, 0.0, 1.0], ['snip', 2, 1.0, 0.0]]
    """
    target = truth.to_numpy(dtype=float)
    columns = {name: scores[name].to_numpy(dtype=float) for name in names}
    columns["random"] = np.zeros(len(target))
    counts = [count for count in COUNTS if count < len(target)]
    rows = [
        (name, k, float(precision_at(values, target, k)), float(regret_of_first(values, target, k)))
        for name, values in columns.items()
        for k in counts
    ]
    return pd.DataFrame(rows, columns=["score", "k", "precision", "regret"])


def first_k_chart(table: pd.DataFrame, column: str, title: str) -> Chart:
    """One line per score over the number k of networks, on a logarithmic axis."""
    order = list(dict.fromkeys(table["score"]))
    line = {"type": "line", "point": True, "strokeWidth": 2}
    return chart(
        records(table[["score", "k", column]].round(4)),
        height=300,
        params=[picked_in_legend("score", "lines")],
        layer=[{"name": "lines", "mark": line}],
        encoding={
            "x": {
                "field": "k",
                "type": "quantitative",
                "title": "k, the number of networks trained",
                "scale": {"type": "log", "nice": False, "padding": 12},
                "axis": {"values": sorted(set(table["k"])), "format": "d"},
            },
            "y": {"field": column, "type": "quantitative", "title": title},
            "color": {
                "field": "score",
                "type": "nominal",
                "sort": order,
                "scale": {"domain": order, "range": [*SERIES[: len(order) - 1], GREY]},
                "legend": legend_below(4),
            },
            "opacity": faded_unless_picked(0.1),
            "tooltip": [
                {"field": "score"},
                {"field": "k"},
                {"field": column, "title": title, "format": ".3f"},
            ],
        },
    )


def percentiles(columns: pd.DataFrame) -> pd.DataFrame:
    """The rank of each value in its column, in percent; 100 is the highest."""
    return columns.rank(pct=True).mul(100)


def radio(name: str, title: str, options: Mapping[str, str]) -> dict[str, Any]:
    """A parameter with a radio button for each option, which has a label; the first is chosen."""
    buttons = {"options": list(options), "labels": list(options.values())}
    bind = {"input": "radio", **buttons, "name": title}
    return {"name": name, "value": next(iter(options)), "bind": bind}


def scatter(scores: pd.DataFrame, truth: str, unit: str) -> Chart:
    """Score against accuracy, one point per architecture, with a menu of the scores.

    `scores` is indexed by architecture and contains the truth column in addition to the scores.
    """
    names = [str(name) for name in scores if name != truth]
    ranks = percentiles(scores[names]).round(2).add_prefix("rank of ")
    values = scores[names].add_prefix("value of ")
    heights = percentiles(scores[[truth]])[truth].round(2)
    frame = ranks.join(values).assign(accuracy=scores[truth], height=heights)
    data = records(frame.rename_axis("arch").reset_index())
    return chart(
        data,
        height=380,
        usermeta={"renderer": "canvas"},
        params=[
            {"name": "score", "value": names[0], "bind": {"input": "select", "options": names}},
            radio("axis", "shown as ", {"rank of ": "rank (100 = highest)", "value of ": "value"}),
            radio("upright", "truth as ", {"accuracy": "value", "height": "rank"}),
        ],
        transform=[
            {"calculate": "datum[axis + score]", "as": "x"},
            {"calculate": "datum[upright]", "as": "y"},
            {"calculate": "datum['value of ' + score]", "as": "value"},
            {"filter": "isValid(datum.x)"},
        ],
        **points("score", truth, {**accuracy(truth, unit), "field": "y"}),
    )


def scatter_of(scores: pd.DataFrame, score: str, truth: str, unit: str) -> Chart:
    """One score against accuracy, one point per architecture, headed by Spearman's ρ.

    In ρ, undefined scores rank last.
    """
    both = scores[[score, truth]].dropna()
    rho = rank_correlation(scores[score], scores[truth])
    frame = pd.DataFrame({"x": both[score], "value": both[score], "accuracy": both[truth]})
    data = records(frame.rename_axis("arch").reset_index())
    undefined = f", {count:,} undefined" if (count := len(scores) - len(both)) else ""
    title = {"text": f"{score}: ρ = {rho}, n = {len(scores):,}{undefined}"}
    return chart(data, height=320, title=title, **points(score, truth, accuracy(truth, unit)))


def points(across: str, truth: str, y: Mapping[str, Any]) -> dict[str, Any]:
    """The marks of architectures at `x`, with their names, values and accuracies as tooltips."""
    return {
        "mark": {"type": "circle", "opacity": 0.8, "size": 26, "color": KINDS["proxy"]},
        "encoding": {
            "x": {"field": "x", "type": "quantitative", "title": across, "scale": {"zero": False}},
            "y": dict(y),
            "tooltip": [
                {"field": "arch", "title": "architecture"},
                {"field": "value", "title": across, "format": ".6g"},
                {"field": "accuracy", "title": truth, "format": ".2f"},
            ],
        },
    }


def accuracy(truth: str, unit: str) -> dict[str, Any]:
    """The axis of the truth column."""
    title = f"{truth} ({unit})" if unit else truth
    return {"field": "accuracy", "type": "quantitative", "title": title, "scale": {"zero": False}}


def small_multiples(scores: pd.DataFrame, truth: str) -> Chart:
    """One panel per score, with the ranks of the networks by score and by truth.

    A panel is headed by Spearman's ρ, and the colour of a point is its rank by #params, if known.
    Of more than `ON_PAPER` architectures, a random sample of that size is shown.
    """
    names = [str(name) for name in scores if name != truth]
    headed = {
        name: f"{name}, ρ = {rank_correlation(scores[name], scores[truth])}" for name in names
    }
    percent = percentiles(scores).round(1)
    ranks = percent[names]
    size = ranks.get("params", pd.Series(50.0, ranks.index))
    ranks = ranks.rename(columns=headed).assign(accuracy=percent[truth], size=size)
    if len(ranks) > ON_PAPER:
        ranks = ranks.sample(ON_PAPER, random_state=0)
    long = ranks.melt(id_vars=["accuracy", "size"], var_name="score", value_name="rank").dropna()
    return {
        **chart(records(long)),
        "width": 170,
        "height": 130,
        "mark": {"type": "circle", "opacity": 0.7, "size": 10},
        "encoding": {
            "x": {"field": "rank", "type": "quantitative", "title": "rank of the score"},
            "y": {"field": "accuracy", "type": "quantitative", "title": f"rank by {truth}"},
            "color": {
                "field": "size",
                "type": "quantitative",
                "title": "rank by #params",
                "scale": {"range": [SERIES[0], SERIES[1]], "domain": [0, 100]},
                "legend": {"orient": "bottom"} if "params" in names else None,
            },
            "facet": {
                "field": "score",
                "type": "nominal",
                "columns": 4,
                "sort": list(headed.values()),
                "title": None,
            },
        },
    }


def rank_correlation(score: pd.Series, truth: pd.Series) -> str:
    """Spearman's ρ as a short text; undefined scores rank last."""
    rho = float(spearman(score.to_numpy(dtype=float), truth.to_numpy(dtype=float)))
    return "undefined" if math.isnan(rho) else f"{rho:.2f}"


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
        "encoding": {"x": {**x, "field": "published"}, "y": y, "tooltip": tooltip},
    }
    return chart(
        records(shown[columns]),
        height=22 * len(shown),
        layer=[
            {
                "mark": {"type": "rule", "strokeDash": [2, 3], "color": "#8a8f98"},
                "encoding": {"x": {"datum": 0}},
            },
            {
                "mark": {"type": "rule", "strokeWidth": 2},
                "encoding": {
                    "y": y,
                    "x": {**x, "field": "spearman_low"},
                    "x2": {"field": "spearman_high"},
                    "color": colour(),
                },
            },
            {
                "mark": {"type": "circle", "size": 70, "opacity": 1},
                "encoding": {
                    "y": y,
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
