"""Print a table for a person, or as JSON or CSV for a program."""

import json
import math
from collections.abc import Mapping
from typing import Any

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from foretell.cli.output import say, stream

__all__ = ["drop_empty", "show", "width"]

UNBOUND = 240
"""Columns of text where the answer does not go to a terminal, so that no table is folded."""


def show(table: pd.DataFrame, form: str | None, title: str = "", **about: Any) -> None:
    """Print the table and its index; `about` goes into the JSON beside the rows."""
    if form == "json":
        rows = [clean(row) for row in table.reset_index().to_dict(orient="records")]
        say(json.dumps({**clean(about), "rows": rows}, indent=2, ensure_ascii=False))
    elif form == "csv":
        say(table.to_csv(), end="")
    else:
        console = terminal()
        console.print(as_text(table, title), soft_wrap=not console.is_terminal)


def terminal() -> Console:
    """What the answer is drawn on."""
    out = stream()
    return Console(file=out, highlight=False, width=None if out.isatty() else UNBOUND)


def width() -> int:
    """How many columns of text the answer may have."""
    return terminal().width


def drop_empty(table: pd.DataFrame) -> pd.DataFrame:
    """The table without the text columns that say nothing."""
    text = [name for name in table if not pd.api.types.is_numeric_dtype(table[name])]
    empty = [name for name in text if not any(table[name])]
    return table.drop(columns=empty)


def as_text(table: pd.DataFrame, title: str) -> Table:
    """The table laid out; numbers to the right, undefined ones as a dash."""
    drawn = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    flat = table.reset_index()
    for name in flat.columns:
        number = pd.api.types.is_numeric_dtype(flat[name])
        drawn.add_column(
            str(name).replace("_", " "),
            justify="right" if number else "left",
            overflow="fold",
            no_wrap=number,
        )
    for row in flat.itertuples(index=False):
        drawn.add_row(*(Text(cell(value)) for value in row))
    return drawn


def cell(value: Any) -> str:
    """A value in few characters.

    >>> cell(11181642.0), cell(-64.00337), cell(float("nan")), cell(0.000123)
    ('11,181,642', '-64.003', '–', '0.000123')
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return f"{int(value):,}"
    if isinstance(value, float):
        return f"{value:.5g}" if abs(value) < 1e6 else f"{value:.3e}"
    return str(value)


def clean(row: Mapping[Any, Any]) -> dict[str, Any]:
    """The row as JSON has it: null for what is undefined."""
    return {
        str(name): None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in row.items()
    }
