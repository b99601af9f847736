"""Print tables as text, JSON or CSV."""

import json
import math
import os
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import click
import pandas as pd

from foretell.cli.layout import Column, fitted, lines_of
from foretell.cli.options import Form
from foretell.cli.output import printable, say, stream, write
from foretell.errors import unknown_name

__all__ = ["lines_of_table", "require_columns", "show"]


def show(
    table: pd.DataFrame,
    form: Form,
    title: str = "",
    first: Sequence[str] = (),
    about: Mapping[str, Any] | None = None,
) -> None:
    """Print the table and its index; JSON also contains the entries of `about`.

    As text, the columns `first` come first, empty columns are dropped, and those that do not fit
    the terminal are named below the table.

    Raises UnknownName, after printing the table, for a column of `form` that it does not have.
    """
    asked = [name for name in form.columns if name in table]
    chosen = table[asked] if asked else table
    if form.kind == "json":
        rows = chosen.reset_index().to_dict(orient="records")
        content = clean({**(about or {}), "rows": rows})
        write(f"{as_json(content)}\n")
    elif form.kind == "csv":
        text = chosen.to_csv()
        say(text, end="") if stream().isatty() else write(text)
    else:
        shown = chosen if asked else drop_empty(table)
        heading = printable(title)
        heading = click.style(heading, bold=True) if stream().isatty() else heading
        lines = lines_of_table(shown, width(), [] if asked else first, keep_all=bool(asked))
        write(f"\n{heading}\n\n" if title else "\n")
        say("\n".join([*lines, ""]))
    for name in form.columns:
        if name not in table:
            raise unknown_name("column", name, table.columns)


def require_columns(form: Form, known: Sequence[str]) -> None:
    """Raise UnknownName for a column of `form` that the printed table will not have.

    Commands that compute for hours call this first.
    """
    for name in form.columns:
        if name not in known:
            raise unknown_name("column", name, known)


def width() -> int | None:
    """The available width: COLUMNS, or the width of the terminal; None if it is unlimited."""
    if (asked := os.environ.get("COLUMNS", "")).isdecimal():
        return int(asked)
    out = stream()
    return os.get_terminal_size(out.fileno()).columns if out.isatty() else None


def lines_of_table(
    table: pd.DataFrame, width: int | None, first: Sequence[str] = (), *, keep_all: bool = False
) -> list[str]:
    """The table as text, with its index and the columns `first` before the others.

    The last line names the columns that do not fit.
    """
    names = [str(name) for name in table.index.names]
    flat = table.reset_index()
    order = dict.fromkeys([*names, *(name for name in first if name in table), *table])
    columns = [
        Column(printable(str(name)), tuple(map(cell, flat[name])), is_name=name in names)
        for name in order
    ]
    widths = fitted(columns, width, keep_all=keep_all)
    left_out = [column.name for column in columns if column.name not in widths]
    lines = lines_of(columns, widths)
    if left_out:
        said = f"Not shown: {', '.join(left_out)}; select columns with --columns NAMES."
        lines += ["", *textwrap.wrap(said, width or len(said))]
    return lines


def drop_empty(table: pd.DataFrame) -> pd.DataFrame:
    """The table without empty text columns."""
    text = [name for name in table if not pd.api.types.is_numeric_dtype(table[name])]
    empty = [name for name in text if not any(table[name])]
    return table.drop(columns=empty)


def cell(value: Any) -> str:
    """A value in a short form.

    >>> cell(11181642.0), cell(-64.00337), cell(float("nan")), cell(0.000123)
    ('11,181,642', '-64.003', '–', '0.000123')
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool | str):
        return printable(str(value))
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return f"{int(value):,}"
    if isinstance(value, float):
        return f"{value:.5g}" if abs(value) < 1e6 else f"{value:.3e}"
    return str(value)


def as_json(content: Any) -> str:
    r"""The content as JSON, with JSON's escapes for what a terminal executes or does not show.

    >>> as_json(["\x9b", "ρ"])
    '[\n  "\\u009b",\n  "ρ"\n]'
    """
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    return "".join(
        one if one.isprintable() or one == "\n" else json.dumps(one)[1:-1] for one in text
    )


def clean(value: Any) -> Any:
    """The value as JSON, with null for undefined numbers at any depth.

    >>> clean({1: [float("nan"), 2.0]})
    {'1': [None, 2.0]}
    """
    if isinstance(value, Mapping):
        return {str(name): clean(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [clean(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
