"""What the run folder of a study or of simulated searches keeps beside its rows.

The table, so that rows can be judged anywhere; of searches also the scores that helped and what
trainings take.
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
"""The column of a table that says how long a training took."""

Content = TypeVar("Content")


def keep_table(store: Store, table: Table) -> None:
    """Keep the table, unless it is there."""
    mended(store, TABLE, lambda: kept_table(store.folder), lambda: table_bytes(table))


def kept_table(folder: Path) -> Table:
    """The table of a run. Raises RunStateError where it is gone or damaged."""
    return read(folder, TABLE, lambda content: read_table(folder / TABLE))


def keep_scores(store: Store, scores: "pd.Series[float]", fingerprint: str) -> None:
    """Keep the scores, by the table's keys, unless they are there."""
    name = str(scores.name)
    mended(
        store,
        SCORES,
        lambda: kept_scores(store.folder, name, fingerprint),
        lambda: parquet_of(scores.rename("score")),
    )


def kept_scores(folder: Path, by: str, fingerprint: str) -> "pd.Series[float]":
    """The scores by the proxy `by`. Raises RunStateError where they are gone or are others."""

    def checked(content: bytes) -> "pd.Series[float]":
        scores = pd.read_parquet(BytesIO(content))["score"]
        if fingerprint_of(scores.rename(by)) != fingerprint:
            raise damaged(folder / SCORES, folder, AGAIN)
        return scores

    return read(folder, SCORES, checked)


def keep_seconds(store: Store, seconds: "pd.Series[float]") -> None:
    """Keep what trainings take, by the table's keys; named after its source."""
    store.keep(SECONDS, parquet_of(seconds))


def kept_seconds(folder: Path, table: Table) -> "pd.Series[float] | None":
    """What each row of the table takes to train: as was given with the run, or the table says."""
    if not (folder / SECONDS).exists():
        return table.frame.get(TIME)
    seconds = read(folder, SECONDS, lambda content: pd.read_parquet(BytesIO(content)).iloc[:, 0])
    return seconds.reindex(table.frame.index)


def kept_benchmark(folder: Path, config: Mapping[str, Any]) -> Benchmark:
    """The table and the scores of simulated searches."""
    scores = kept_scores(folder, config["by"], config["scores"]["fingerprint"])
    return Benchmark(kept_table(folder), scores, config["space"]["settings"])


def fingerprint_of(scores: "pd.Series[float]") -> str:
    """Sixteen hex digits that differ where a score, its architecture or the proxy does."""
    return hashlib.sha256(scores.sort_index().to_csv().encode()).hexdigest()[:16]


def parquet_of(values: "pd.Series[float]") -> bytes:
    """A column as a Parquet file."""
    content: bytes = values.to_frame().to_parquet()
    return content


def mended(
    store: Store, name: str, check: Callable[[], object], write: Callable[[], bytes]
) -> None:
    """Have the file in the run's folder; written anew, and told, where it is damaged."""
    path = store.folder / name
    there = path.exists()
    try:
        check()
    except RunStateError:
        store.keep(name, write())
        if there:
            store.tell(f"{path} was damaged and is written anew")


def read(folder: Path, name: str, parse: Callable[[bytes], Content]) -> Content:
    """A kept file's content, parsed. Raises RunStateError where it is gone or damaged."""
    path = folder / name
    try:
        content = kept(folder, name)
    except FileNotFoundError:
        raise RunStateError(f"{path} is gone; {AGAIN}", folder, "damaged") from None
    try:
        return parse(content)
    except RunStateError:
        raise
    except Exception as error:  # what reading a damaged file raises is anyone's guess
        said = f" ({error})" if isinstance(error, ForetellError) else ""
        raise damaged(path, folder, f"{AGAIN}{said}") from error
