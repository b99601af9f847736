"""From a file with columns of its own to a table: which column is the key, and what each is for.

This is the importer of a user's CSV or Parquet, and every recipe goes through it too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from foretell.errors import ForetellError, unknown_name
from foretell.spaces import SPACES
from foretell.tables.keys import MODELS, official_keys
from foretell.tables.parquet import read_parquet_file
from foretell.tables.table import Table, require_keys

__all__ = ["Columns", "Labels", "read_frame", "tabulate"]


@dataclass(frozen=True)
class Columns:
    """What the columns of a file are for; those not named are left behind.

    `scale` multiplies what is chosen or reported by, and its repeats: 100 makes fractions percent.
    `keep` are columns without a role that come along.
    """

    key: str
    choose: tuple[str, ...] = ()
    report: tuple[str, ...] = ()
    cost: tuple[str, ...] = ()
    repeats: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    lower: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    scale: float = 1.0

    @property
    def judged(self) -> tuple[str, ...]:
        """All columns that hold accuracies, errors or losses."""
        return (
            *self.choose,
            *self.report,
            *(run for runs in self.repeats.values() for run in runs),
        )


@dataclass(frozen=True)
class Labels:
    """What is said of a table: its name, the space of its keys, whose it is, its licence."""

    name: str
    space: str
    source: str = ""
    licence: str = "not stated"


def read_frame(path: Path, key: str = "") -> pd.DataFrame:
    """The rows of a CSV or Parquet file; of a CSV, the key column as text, zeros in front kept.

    Raises ForetellError for a file that is absent, cut off, or neither of the two.
    """
    if path.suffix in (".parquet", ".pq"):
        frame = read_parquet_file(path)
        return frame.reset_index() if frame.index.name else frame
    if path.suffix not in (".csv", ".tsv", ".gz"):
        raise ForetellError(f"{path} is no table that can be read; give a .csv or a .parquet file")
    if not path.is_file():
        raise ForetellError(f"there is no file {path}; give the path of a CSV or Parquet file")
    separator = "\t" if ".tsv" in path.suffixes else ","
    try:
        return pd.read_csv(path, sep=separator, dtype={key: str})
    except (ValueError, OSError, EOFError) as error:  # pandas' own errors are ValueErrors
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise ForetellError(f"{path} can't be read as CSV ({reason}); correct the file") from error


def tabulate(frame: pd.DataFrame, columns: Columns, labels: Labels) -> Table:
    """The table of these columns, its keys as the space writes them.

    Raises ForetellError for a column or space that is not there, keys that are missing, twice
    there or of another space, and columns with two roles.

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
    """Raise ForetellError for a column or a space that is not there."""
    if key not in frame:
        said = f"{what}: there is no key column {key!r}"
        raise unknown_name("column", key, frame.columns, said)
    if space not in (known := (*SPACES, MODELS)):
        raise unknown_name("space", space, known, f"{what}: no space is called {space!r}")
    for column in wanted:
        if column not in frame:
            said = f"{what}: there is no column {column!r}"
            raise unknown_name("column", column, frame.columns, said)


def _text(key: object) -> str | None:
    return None if pd.isna(key) else str(key).strip()  # type: ignore[call-overload]


def _numeric(frame: pd.DataFrame, columns: tuple[str, ...]) -> list[str]:
    """Those of the columns that hold numbers, each once; the table tells of the others."""
    return [column for column in dict.fromkeys(columns) if frame[column].dtype.kind in "iuf"]
