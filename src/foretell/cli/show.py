"""Print a table for a person, or as JSON or CSV for a program."""

import json
import math
from collections.abc import Mapping
from typing import Any, Literal

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["Form", "show"]

Form = Literal["text", "json", "csv"]


def show(table: pd.DataFrame, form: Form, console: Console, title: str = "", **about: Any) -> None:
    """Print the table and its index; `about` goes into the JSON beside the rows."""
    if form == "json":
        rows = [clean(row) for row in table.reset_index().to_dict(orient="records")]
        print(json.dumps({**clean(about), "rows": rows}, indent=2, ensure_ascii=False))
    elif form == "csv":
        print(table.to_csv(), end="")
    else:
        console.print(as_text(table, title), soft_wrap=not console.is_terminal)


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
