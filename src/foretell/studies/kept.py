"""The files in the run folder of a study or of simulated searches, besides the rows.

They contain the table, so that rows can be evaluated on any machine, and, for searches, also the
scores that were used and the times of trainings.
"""

import hashlib
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from foretell.errors import ForetellError, RunStateError
from foretell.runs.kept import AGAIN, damaged, kept
from foretell.runs.store import Store
from foretell.studies.simulate import Benchmark
from foretell.tables import Table, read_table
from foretell.tables.parquet import table_bytes

__all__ = [
    "fingerprint_of",
    "keep_scores",
    "keep_seconds",
    "keep_table",
    "kept_benchmark",
    "kept_seconds",
    "kept_table",
]

TABLE, SCORES, SECONDS = "table.parquet", "scores.parquet", "seconds.parquet"
TIME = "train_time_s"
"""The column of a table with the time of each training, in seconds."""

Content = TypeVar("Content")


def keep_table(store: Store, table: Table) -> None:
    """Write the table into the run folder, unless it exists there."""
    mended(store, TABLE, lambda: kept_table(store.folder), lambda: table_bytes(table))


def kept_table(folder: Path) -> Table:
    """The table of a run. Raises RunStateError if it is missing or damaged."""
    return read(folder, TABLE, lambda content: read_table(folder / TABLE))


def keep_scores(store: Store, scores: "pd.Series[float]", fingerprint: str) -> None:
    """Write the scores, indexed by the table's keys, into the run folder if they are missing."""
    name = str(scores.name)
    mended(
        store,
        SCORES,
        lambda: kept_scores(store.folder, name, fingerprint),
        lambda: parquet_of(scores.rename("score")),
    )


def kept_scores(folder: Path, by: str, fingerprint: str) -> "pd.Series[float]":
    """The scores by the proxy `by`. Raises RunStateError if they are missing or not the same."""

    def checked(content: bytes) -> "pd.Series[float]":
        scores = pd.read_parquet(BytesIO(content))["score"]
        if fingerprint_of(scores.rename(by)) != fingerprint:
            raise damaged(folder / SCORES, folder, AGAIN)
        return scores

    return read(folder, SCORES, checked)


def keep_seconds(store: Store, seconds: "pd.Series[float]") -> None:
    """Write the times of trainings, by the table's keys; the series is named after its source."""
    store.keep(SECONDS, parquet_of(seconds))


def kept_seconds(folder: Path, table: Table) -> "pd.Series[float] | None":
    """The training time of each row of the table: from the run, or from the table."""
    if not (folder / SECONDS).exists():
        return table.frame.get(TIME)
    seconds = read(folder, SECONDS, lambda content: pd.read_parquet(BytesIO(content)).iloc[:, 0])
    return seconds.reindex(table.frame.index)


def kept_benchmark(folder: Path, config: Mapping[str, Any]) -> Benchmark:
    """The table and the scores of simulated searches."""
    scores = kept_scores(folder, config["by"], config["scores"]["fingerprint"])
    return Benchmark(kept_table(folder), scores, config["space"]["settings"])


def fingerprint_of(scores: "pd.Series[float]") -> str:
    """Sixteen hex digits that depend on the scores, their architectures and the proxy."""
    return hashlib.sha256(scores.sort_index().to_csv().encode()).hexdigest()[:16]


def parquet_of(values: "pd.Series[float]") -> bytes:
    """A column as a Parquet file."""
    content: bytes = values.to_frame().to_parquet()
    return content


def mended(
    store: Store, name: str, check: Callable[[], object], write: Callable[[], bytes]
) -> None:
    """Write the file into the run folder if it is missing, or, with a notice, if it is damaged."""
    path = store.folder / name
    there = path.exists()
    try:
        check()
    except RunStateError:
        store.keep(name, write())
        if there:
            store.tell(f"{path} was damaged and has been written again")


def read(folder: Path, name: str, parse: Callable[[bytes], Content]) -> Content:
    """The parsed content of a file. Raises RunStateError if it is missing or damaged."""
    path = folder / name
    try:
        content = kept(folder, name)
    except FileNotFoundError:
        raise RunStateError(f"{path} is missing; {AGAIN}", folder, "damaged") from None
    try:
        return parse(content)
    except RunStateError:
        raise
    except Exception as error:  # reading a damaged file can raise anything
        said = f" ({error})" if isinstance(error, ForetellError) else ""
        raise damaged(path, folder, f"{AGAIN}{said}") from error
