"""Write the rows of a run to a file for other programs, a thousand at a time."""

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from foretell.checks import as_path
from foretell.errors import ForetellError
from foretell.files import new_folder, os_errors_told, replacement, write_all
from foretell.names import extra
from foretell.runs.rowlog import Row, canonical
from foretell.runs.store import RunRows

__all__ = ["export_rows"]

STEP = 1000


def export_rows(run: str | os.PathLike[str], path: str | os.PathLike[str]) -> Path:
    """Write all rows of a run as JSON lines or as Parquet, and return the path of the file.

    The suffix decides: `.jsonl` or `.parquet`. In a Parquet file, the columns of the fields of a
    row key begin with `key.`, and what is neither a number nor a text is written as JSON text.

    Raises ForetellError for another suffix, or if the file cannot be written; RunStateError if the
    folder is not a run, or is damaged. The file is then unchanged.

    >>> from tempfile import TemporaryDirectory
    >>> from foretell.runs.store import Store
    >>> with TemporaryDirectory() as folder:
    ...     with Store.open(f"{folder}/run", {"seed": 0}) as store:
    ...         store.add({"key": {"proxy": "snip"}, "value": 4.25})
    ...     print(export_rows(f"{folder}/run", f"{folder}/rows.jsonl").read_text(), end="")
    {"key":{"proxy":"snip"},"value":4.25}
    """
    path = as_path("path", path)
    if path.suffix not in WRITERS:
        raise ForetellError(f"{path} is neither .jsonl nor .parquet; give a path that ends so")
    rows = RunRows(as_path("run", run))
    with os_errors_told(path), new_folder(path.parent), replacement(path) as (_, file):
        WRITERS[path.suffix](rows, file)
    return path


def write_lines(rows: RunRows, file: int) -> None:
    """Write the rows as JSON lines."""
    for part in parts(rows):
        write_all(file, "".join(f"{canonical(row)}\n" for row in part).encode())


def write_parquet(rows: RunRows, file: int) -> None:
    """Write the rows as Parquet."""
    arrow, parquet = extra("pyarrow", "studies"), extra("pyarrow.parquet", "studies")
    kinds: dict[str, set[str]] = {}
    for row in rows:
        for name, value in flat(row).items():
            kinds.setdefault(name, set()).add(kind(value))
    types = {name: TYPES.get(frozenset(found - {"null"}), "json") for name, found in kinds.items()}
    schema = arrow.schema(
        (name, getattr(arrow, "string" if one == "json" else one)()) for name, one in types.items()
    )
    with os.fdopen(os.dup(file), "wb") as sink, parquet.ParquetWriter(sink, schema) as writer:
        for part in parts(rows):
            cells = [fitted(flat(row), types) for row in part]
            writer.write_table(arrow.Table.from_pylist(cells, schema=schema))


WRITERS = {".jsonl": write_lines, ".parquet": write_parquet}
TYPES = {
    frozenset({"int"}): "int64",
    frozenset({"float"}): "float64",
    frozenset({"int", "float"}): "float64",
    frozenset({"str"}): "string",
    frozenset(): "float64",
}
"""The type of a column by the kinds of its values; of any others, it is JSON text."""


def parts(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """The rows in lists of `STEP`."""
    rest = iter(rows)
    while part := list(islice(rest, STEP)):
        yield part


def flat(row: Row) -> dict[str, Any]:
    """The fields of the key and the values of a row by the names of their columns."""
    values = {name: value for name, value in row.items() if name != "key"}
    return {f"key.{name}": value for name, value in row["key"].items()} | values


def kind(value: object) -> str:
    """The kind of a value: null, int, float, str or json."""
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return "json"
    names = {type(None): "null", int: "int", float: "float", str: "str"}
    return names.get(type(value), "json")


def fitted(cells: dict[str, Any], types: dict[str, str]) -> dict[str, Any]:
    """The cells, with those of columns of JSON text encoded."""
    return {
        name: canonical(value) if types[name] == "json" and value is not None else value
        for name, value in cells.items()
    }
