"""Parts of Vega-Lite specifications that the charts of all reports share."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from foretell.report.page import Chart
from foretell.searching.read import ARMS

__all__ = [
    *("ARM", "GREY", "KINDS", "SERIES", "chart", "colour", "curves_chart"),
    *("faded_unless_picked", "legend_below", "picked_in_legend", "records"),
]

FEW = 60
"""The maximum number of x values for which a line is also drawn with points."""
SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
SERIES = ("#3f7fbf", "#c8742e", "#3f9e5a", "#b15ea8", "#9a7b3c", "#c44e4e", "#7a6fd0")
"""Colours of lines and points, each with a contrast of at least 3:1 in light and dark mode."""
GREY = "#8a8f98"
KINDS: Mapping[str, str] = {
    "proxy": "#3f7fbf",
    "ranking": "#b15ea8",
    "baseline": GREY,
    "reduced": "#c8742e",
    "ceiling": "#3f9e5a",
}
"""The kinds of rows in the table of a study, with their colours in light and dark mode."""


ARM: Mapping[str, Any] = {
    "field": "arm",
    "type": "nominal",
    "scale": {"domain": list(ARMS.values()), "range": [SERIES[0], GREY, SERIES[1]]},
    "legend": {"title": None, "orient": "bottom", "symbolOpacity": 1},
}
"""The colours of the arms of a search, the same in all its charts."""


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


def legend_below(columns: int) -> dict[str, Any]:
    """A legend below the chart, without a title."""
    return {"title": None, "orient": "bottom", "columns": columns, "symbolOpacity": 1}


def picked_in_legend(field: str, layer: str) -> dict[str, Any]:
    """The parameter `picked`: the value of the field that is clicked in the legend of a layer."""
    select = {"type": "point", "fields": [field]}
    return {"name": "picked", "select": select, "bind": "legend", "views": [layer]}


def faded_unless_picked(opacity: float) -> dict[str, Any]:
    """The opacity of marks: this one where another value is picked in the legend."""
    return {"condition": {"param": "picked", "empty": True, "value": 1}, "value": opacity}


def curves_chart(
    band: pd.DataFrame,
    across: str,
    title: str,
    report: str,
    *,
    steps: bool = False,
    scale: Mapping[str, Any],
) -> Chart:
    """Mean and quartiles of each strategy; clicking a name in the legend highlights it.

    `scale` determines the colours. With `steps`, a line is constant until there is an improvement.
    The y axis starts at the lowest mean after a fifteenth of the trainings.
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
    legend = {**colour, "legend": legend_below(3), "scale": dict(scale)}
    columns = ["strategy", across, "mean", "low", "high"]
    stairs = {"interpolate": "step-after"} if steps else {}
    way = {**stairs, "point": steps and shown[across].nunique() <= FEW}
    return chart(
        records(shown[columns].round(4)),
        height=320,
        params=[picked_in_legend("strategy", "lines")],
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
                "name": "lines",
                "mark": {"type": "line", "strokeWidth": 2, "clip": True, **way},
                "encoding": {
                    "x": x,
                    "y": {**y, "field": "mean"},
                    "color": legend,
                    "opacity": faded_unless_picked(0.06),
                    "tooltip": [
                        {"field": "strategy"},
                        {"field": across, "title": title},
                        {"field": "mean", "title": report},
                    ],
                },
            },
        ],
    )
