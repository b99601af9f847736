"""Convert a file with arbitrary columns to a table, given the key column and the roles of columns.

This imports the CSV and Parquet files of users; all recipes use it as well.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from foretell.checks import as_number
from foretell.checks import keep as checked
from foretell.errors import ForetellError, unknown_name
from foretell.tables.keys import KEYED, official_keys
from foretell.tables.parquet import read_parquet_file
from foretell.tables.table import Table, require_keys

__all__ = ["Columns", "Labels", "read_frame", "tabulate"]


@dataclass(frozen=True)
class Columns:
    """The roles of the columns of a file; columns that are not named are dropped.

    `scale` multiplies the choosing and reporting columns and their repeats: 100 converts fractions
    to percent. `keep` lists columns without a role that are kept. Raises ForetellError for a scale
    that is not a positive number.
    """

    key: str
    choose: tuple[str, ...] = ()
    report: tuple[str, ...] = ()
    cost: tuple[str, ...] = ()
    repeats: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    lower: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    scale: float = 1.0

    def __post_init__(self) -> None:
        checked(self, "scale", as_number, above=0)

    @property
    def judged(self) -> tuple[str, ...]:
        """All columns of accuracies, errors or losses."""
        return (
            *self.choose,
            *self.report,
            *(run for runs in self.repeats.values() for run in runs),
        )


@dataclass(frozen=True)
class Labels:
    """The metadata of a table: its name, the space of its keys, its source and its licence."""

    name: str
    space: str
    source: str = ""
    licence: str = "not stated"


def read_frame(path: Path, key: str = "") -> pd.DataFrame:
    """The rows of a CSV or Parquet file; the key column of a CSV file is read as text.

    Raises ForetellError for a missing or truncated file, or one of another kind.
    """
    if path.suffix in (".parquet", ".pq"):
        frame = read_parquet_file(path)
        return frame.reset_index() if frame.index.name else frame
    if path.suffix not in (".csv", ".tsv", ".gz"):
        raise ForetellError(f"{path} is not a table; expected a .csv, .tsv or .parquet file")
    if not os.path.isfile(path):
        raise ForetellError(f"there is no file {path}; give the path of a CSV or Parquet file")
    separator = "\t" if ".tsv" in path.suffixes else ","
    try:
        return pd.read_csv(path, sep=separator, dtype={key: str})
    except (ValueError, OSError, EOFError) as error:  # pandas' own errors are ValueErrors
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise ForetellError(f"{path} cannot be read as CSV ({reason}); correct the file") from error


def tabulate(frame: pd.DataFrame, columns: Columns, labels: Labels) -> Table:
    """The table of these columns, with its keys in the format of the space.

    Raises ForetellError for an unknown column or space, for keys that are missing, duplicate or of
    another space, and for columns with two roles.

    >>> mine = pd.DataFrame({"net": ["000000", "111111"], "val": [0.7, 0.6], "note": ["", "x"]})
    >>> table = tabulate(mine, Columns("net", choose=("val",), scale=100), Labels("mine", "nb201"))
    >>> table.choose("val").tolist(), table.frame.columns.tolist()
    ([70.0, 60.0], ['val'])
    """
    what = f"table {labels.name}"
    wanted = list(dict.fromkeys((*columns.judged, *columns.cost, *columns.keep)))
    _require_known(frame, columns.key, wanted, labels.space, what)
    keys = pd.Index([_text(key) for key in frame[columns.key]], dtype=object)
    require_keys(keys, f"{what}, key column {columns.key!r}")
    chosen = frame[wanted].set_axis(official_keys(labels.space, keys, what), axis="index")
    if columns.scale != 1:
        chosen = chosen.astype(dict.fromkeys(_numeric(chosen, columns.judged), float))
        for column in _numeric(chosen, columns.judged):
            chosen[column] *= columns.scale
    return Table(
        name=labels.name,
        space=labels.space,
        frame=chosen,
        choosing=columns.choose,
        reporting=columns.report,
        cost=columns.cost,
        repeats=columns.repeats,
        source=labels.source,
        licence=labels.licence,
        lower_is_better=columns.lower,
    )


def _require_known(
    frame: pd.DataFrame, key: str, wanted: Sequence[str], space: str, what: str
) -> None:
    """Raise ForetellError for an unknown column or space."""
    if key not in frame:
        said = f"{what}: there is no key column {key!r}"
        raise unknown_name("column", key, frame.columns, said)
    if space not in KEYED:
        raise unknown_name("space", space, KEYED, f"{what}: no space is called {space!r}")
    for column in wanted:
        if column not in frame:
            said = f"{what}: there is no column {column!r}"
            raise unknown_name("column", column, frame.columns, said)


def _text(key: object) -> str | None:
    return None if pd.isna(key) else str(key).strip()  # type: ignore[call-overload]


def _numeric(frame: pd.DataFrame, columns: tuple[str, ...]) -> list[str]:
    """The numeric columns among these, each once; `Table` refuses the others."""
    return [column for column in dict.fromkeys(columns) if frame[column].dtype.kind in "iuf"]
