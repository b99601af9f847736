"""Read tables of candidates and of results from files, run folders and Python objects."""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from foretell.checks import as_path
from foretell.errors import ForetellError, RunStateError, shown
from foretell.names import extra
from foretell.proxies import higher_is_better
from foretell.runs.cells import Cells
from foretell.runs.code import current
from foretell.runs.config import read_config
from foretell.runs.rows import ScoreRow, rows_of
from foretell.runs.store import RunRows

__all__ = ["as_frame", "names_of", "run_scores"]

READERS = (".csv", ".json", ".parquet")


def as_frame(name: str, given: object) -> pd.DataFrame:
    """The table, with its index as a column if the index holds names.

    The suffix of a file decides how it is read: as CSV, Parquet or JSON. A JSON file contains a
    list of rows, an object with `rows`, as `foretell rank --json` prints it, or an object that maps
    names to values. Error messages call the argument `name`.

    Raises ForetellError for a file that does not exist or cannot be read, and for other objects.

    >>> as_frame("results", {"resnet18": 69.8}).to_dict("records")
    [{'name': 'resnet18', 'value': 69.8}]
    """
    if isinstance(given, str | os.PathLike):
        given = read(name, as_path(name, given))
    if isinstance(given, Mapping):
        given = pd.Series(dict(given), dtype=object)
    if isinstance(given, pd.Series):
        given = pd.DataFrame({"name": given.index, "value": given.to_numpy()})
    if not isinstance(given, pd.DataFrame):
        raise ForetellError(f"{name} is {shown(given)}; expected a DataFrame or the path of a file")
    frame = given.rename(columns=str)
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise ForetellError(f"{name} has two columns called {twice!r}; rename one")
    has_names = frame.index.name is not None or frame.index.inferred_type == "string"
    if has_names and frame.index.name not in frame:
        frame = frame.rename_axis(index=str(frame.index.name or "name")).reset_index()
    return frame.reset_index(drop=True)


def read(name: str, path: Path) -> Any:
    """The content of a file: a DataFrame, or the parsed JSON."""
    if not path.is_file():
        raise ForetellError(f"{name}: there is no file {path}; give a {', '.join(READERS)} file")
    try:
        if path.suffix == ".parquet":
            extra("pyarrow", "studies")
            return pd.read_parquet(path)
        if path.suffix == ".csv":
            return pd.read_csv(path, dtype=dict.fromkeys(NAMES, str), keep_default_na=True)
        if path.suffix == ".json":
            return in_json(json.loads(path.read_text(encoding="utf-8")))
    except (ForetellError, MemoryError):
        raise
    except Exception as error:  # pandas, pyarrow and json each have their own
        reason = " ".join(str(error).split())[:100].rstrip(".")
        raise ForetellError(f"{path} cannot be read ({reason}); correct the file") from error
    raise ForetellError(f"{name}: {path} is of an unknown kind; give a {', '.join(READERS)} file")


def in_json(content: Any) -> Any:
    """A list of rows as a DataFrame; an object that maps names to values is returned unchanged."""
    rows = content.get("rows", content) if isinstance(content, dict) else content
    return pd.DataFrame(rows) if isinstance(rows, list) else rows


NAMES = ("name", "model", "arch")
"""The accepted names of the column with the names of candidates."""


def names_of(what: str, frame: pd.DataFrame) -> "pd.Series[str]":
    """The column with the names of candidates. Raises ForetellError if it or a name is missing."""
    column = next((name for name in NAMES if name in frame), None)
    if column is None:
        raise ForetellError(
            f"{what} has the columns {', '.join(map(str, frame.columns)) or 'none'}; expected one "
            f"called {', '.join(NAMES[:-1])} or {NAMES[-1]}"
        )
    if frame[column].isna().any():
        row = int(frame[column].isna().to_numpy().argmax()) + 1
        raise ForetellError(f"{what} has no name in row {row}; give one, or leave the row out")
    return frame[column].astype(str)


def run_scores(folder: Path) -> pd.DataFrame:
    """The mean scores of each architecture in a run folder, with the column `name`.

    Raises RunStateError if the folder does not contain a run, or the run has no scores yet.
    """
    read_config(folder)
    sums, counts = Cells(), Cells()
    for stored in current(RunRows(folder))[0]:
        for row in rows_of(ScoreRow, [stored]):
            cell, value = (row.network.arch, row.proxy), row.score.value
            known = not math.isnan(value)
            sums.put(*cell, sums.get(*cell, 0.0) + (value if known else 0.0))
            counts.put(*cell, counts.get(*cell, 0.0) + known)
    if not sums.names:
        raise RunStateError(
            f"{folder} contains no scores; give the folder of a search or study that has scored",
            folder,
            "unfinished",
        )
    if unknown := [name for name in sums.columns if higher_is_better(name) is None]:
        raise ForetellError(
            f"it is unknown whether higher is better for {', '.join(unknown)}; register the proxy"
        )
    return (sums.frame() / counts.frame()).rename_axis("name").reset_index()
