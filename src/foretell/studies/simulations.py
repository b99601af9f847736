"""Search many times on a table, a row a search, and read the rows back as curves."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foretell.errors import ForetellError, RunStateError, unknown_name
from foretell.executors.processes import Lost, completed, pool
from foretell.progress import ProgressCallback, Tally
from foretell.proxies import PROXIES
from foretell.runs.costs import column_of
from foretell.runs.rows import SimulatedRow, add, rows_of, versions
from foretell.runs.store import Store, read_config, read_rows
from foretell.runs.tasks import one_thread
from foretell.studies.read import TABLE, read_study
from foretell.studies.run import keep
from foretell.studies.simulate import (
    Benchmark,
    Simulated,
    best_so_far,
    make_strategy,
    simulate,
)
from foretell.tables import Table, read_table

__all__ = ["STRATEGIES", "Simulations", "read_simulations", "run_simulations"]

STRATEGIES = (
    "random",
    "random?warmup=1000",
    "random?warmup=3000",
    "aging_evolution",
    "aging_evolution?warmup=1000",
    "aging_evolution?warmup=3000",
    "aging_evolution?moves=1",
    "reinforce",
    "reinforce?warmup=3000",
    "reinforce?moves=10",
    "reinforce?moves=100",
    "local",
    "local?warmup=3000",
)
"""The paper's algorithms with and without help, and local search; the predictor takes longer."""
SCORES = "scores.parquet"
SECONDS = "seconds.parquet"
TIME = "train_time_s"
"""The column of a table that says how long a training took."""


def run_simulations(
    scored: str | os.PathLike[str],
    *,
    run: str | os.PathLike[str],
    by: str = "synflow",
    strategies: Sequence[str] = STRATEGIES,
    told: Sequence[str] = (),
    seconds: str | None = None,
    trainings: int = 300,
    seeds: int = 100,
    workers: int = 1,
    progress: ProgressCallback | None = None,
) -> Path:
    """Search the table of the study `scored` with its scores, and return the run's folder.

    Each strategy searches once for each seed and each column of `told`, by default the table's
    first to choose by: its values are what the searcher is told of a training. A column of the
    table's `reporting` may be named too, since the paper told its searchers test accuracies; the
    curves say so. `seconds`, a TABLE:COLUMN of costs, is what trainings take where the table does
    not say; it is kept with the run and changes no search. `progress` is called with a `Progress`
    after each search.

    Called again with more strategies, columns or seeds, it does what is missing; the rows are the
    same whatever the number of workers.

    Raises ForetellError for a bad argument, or a folder that holds something else.
    """
    rows = read_study(scored)
    benchmark = benchmark_of(rows.table, rows.runs[0], by, rows.config["space"]["settings"])
    columns = columns_told(rows.table, told)
    if trainings < 1 or seeds < 1:
        raise ForetellError(f"{trainings} trainings with {seeds} seeds: give at least 1 of each")
    for strategy in strategies:
        make_strategy(strategy, benchmark.space, 0)
    taken = None if seconds is None else column_of(seconds, benchmark.space).rename(seconds)
    config = configuration(benchmark, by, float(rows.seconds[by]), rows.config)
    with Store.open(run, config) as store, pool(workers) as executor:
        if not (store.folder / TABLE).exists():
            keep(rows.table, store.folder)
            benchmark.scores.rename("score").to_frame().to_parquet(store.folder / SCORES)
        if taken is not None:
            taken.to_frame().to_parquet(store.folder / SECONDS)
        tasks = {
            (strategy, column, seed): Search(str(store.folder), strategy, column, trainings, seed)
            for seed in range(seeds)
            for strategy in strategies
            for column in columns
        }
        missing = {k: task for k, task in tasks.items() if task.row.key() not in store}
        tally = Tally(progress, {"search": len(tasks)})
        for name in (name for name in tasks if name not in missing):
            tally.add("search", searched(*name), cached=True)
        for name, found in completed(executor, missing, workers):
            if isinstance(found, Lost):
                raise ForetellError(f"the search {missing[name].row.key()}: {found.why}")
            add(store, replace(missing[name].row, trained=found.trained, scored=found.scored))
            tally.add("search", searched(*name))
        return store.folder


def searched(strategy: str, column: str, seed: int) -> str:
    """One of the searches in words."""
    return f"{strategy} by {column}, seed {seed}"


def benchmark_of(table: Table, scores: pd.DataFrame, by: str, settings: Any) -> Benchmark:
    """The table with the scores by which a search is helped, higher being better."""
    if by not in scores:
        raise unknown_name("proxy", by, scores, f"the study has no scores {by!r}")
    if table.space == "models":
        raise ForetellError(f"table {table.name} is a zoo: there is no space to search")
    sign = 1 if PROXIES[by].higher_is_better else -1
    return Benchmark(table, sign * scores[by], settings)


def columns_told(table: Table, asked: Sequence[str]) -> list[str]:
    """The columns that searchers are told, each in searches of its own."""
    known = [*table.choosing, *table.reporting]
    for column in asked:
        if column not in known:
            said = f"table {table.name} has no accuracy {column!r}"
            raise unknown_name("column", column, known, said)
    if not (asked or table.choosing):
        raise ForetellError(f"table {table.name} has nothing to choose by; name a column to tell")
    return list(asked or table.choosing[:1])


def configuration(
    benchmark: Benchmark, by: str, seconds: float, study: dict[str, Any]
) -> dict[str, Any]:
    """What a run folder is for; more strategies, columns or seeds go into the same one."""
    table = benchmark.table
    text = benchmark.scores.sort_index().to_csv()
    return {
        "job": "simulation",
        "table": {"name": table.name, "checksum": table.checksum},
        "space": study["space"],
        "by": by,
        "scores": {
            "fingerprint": hashlib.sha256(text.encode()).hexdigest()[:16],
            "count": len(benchmark.scores),
            "data": study["data"],
            "batch_size": study["batch_size"],
            "seed": study["seed"],
            "seconds": seconds,
        },
    }


@dataclass(frozen=True)
class Search:
    """One search, for any process that can read the run folder."""

    folder: str
    strategy: str
    told: str
    trainings: int
    seed: int

    @property
    def row(self) -> SimulatedRow:
        """Its row, not finished."""
        return SimulatedRow(self.strategy, self.told, self.trainings, self.seed)

    def __call__(self) -> Simulated:
        """What it trained."""
        with one_thread():
            return simulate(
                benchmark_in(self.folder), self.strategy, self.told, self.trainings, self.seed
            )


@lru_cache(maxsize=2)
def benchmark_in(folder: str) -> Benchmark:
    """The benchmark that a run folder keeps, read once a process."""
    scores = pd.read_parquet(Path(folder) / SCORES)["score"]
    settings = read_config(folder)["space"]["settings"]
    return Benchmark(read_table(Path(folder) / TABLE), scores, settings)


@dataclass(frozen=True, eq=False)
class Simulations:
    """What a run's rows say."""

    config: dict[str, Any]
    benchmark: Benchmark
    rows: list[SimulatedRow]
    made_with: list[str]
    seconds: "pd.Series[float] | None" = None
    """What each row of the table takes to train, where that is known; named after its source."""

    @cached_property
    def told(self) -> list[str]:
        """The columns that searchers were told."""
        return list(dict.fromkeys(row.told for row in self.rows))

    @cached_property
    def strategies(self) -> list[str]:
        """In the order in which they were first asked for."""
        return list(dict.fromkeys(row.strategy for row in self.rows))

    def curves(self, told: str, report: str) -> dict[str, pd.DataFrame]:
        """By strategy a frame with a row a seed and a column a training.

        Its values are what is reported, after so many trainings, of the network that was told the
        highest value so far; nan where a search had nothing left to train.
        """
        steer, show = self.benchmark.told(told), self.benchmark.told(report)
        found: dict[str, dict[int, list[float]]] = {}
        for row in self.rows:
            if row.told == told:
                trained = list(row.trained)
                line = best_so_far(steer[trained].tolist(), show[trained].tolist())
                found.setdefault(row.strategy, {})[row.seed] = line
        return {strategy: framed(lines) for strategy, lines in found.items()}

    def scored(self, told: str) -> dict[str, pd.DataFrame]:
        """By strategy how many networks were scored before each training, as `curves` has them."""
        found: dict[str, dict[int, list[float]]] = {}
        for row in self.rows:
            if row.told == told:
                found.setdefault(row.strategy, {})[row.seed] = list(map(float, row.scored))
        return {strategy: framed(lines) for strategy, lines in found.items()}

    def hours(self, told: str) -> dict[str, pd.DataFrame]:
        """By strategy the hours of its trainings and scores so far, as `curves` has them.

        Empty where it is not known what a training takes.
        """
        if self.seconds is None:
            return {}
        each = self.seconds.fillna(self.seconds.mean()).to_numpy()
        score = float(self.config["scores"]["seconds"])
        found: dict[str, dict[int, list[float]]] = {}
        for row in self.rows:
            if row.told == told:
                spent = each[list(row.trained)].cumsum() + score * np.array(row.scored)
                line = (spent / 3600).tolist()
                found.setdefault(row.strategy, {})[row.seed] = line
        return {strategy: framed(lines) for strategy, lines in found.items()}


def framed(lines: dict[int, list[float]]) -> pd.DataFrame:
    """A row a seed; the columns count trainings from 1."""
    frame = pd.DataFrame.from_dict(dict(sorted(lines.items())), orient="index", dtype=float)
    frame.columns = pd.Index(np.arange(1, frame.shape[1] + 1), name="trainings")
    return frame.rename_axis(index="seed")


def read_simulations(run: str | os.PathLike[str]) -> Simulations:
    """The rows of simulated searches, finished or not; needs the run folder alone.

    Raises ForetellError if the folder is no such run or holds no searches yet.
    """
    config = read_config(run)
    if config.get("job") != "simulation":
        said = f"{run} is a run of another kind; give one of `foretell study search`"
        raise RunStateError(said, Path(run), "not a run")
    stored = read_rows(run)
    if not (rows := rows_of(SimulatedRow, stored)):
        said = f"{run} holds no searches yet; let `foretell study search` run"
        raise RunStateError(said, Path(run), "unfinished")
    benchmark = benchmark_in(os.fspath(run))
    seconds = seconds_in(Path(run), benchmark.table)
    return Simulations(config, benchmark, rows, versions(stored), seconds)


def seconds_in(folder: Path, table: Table) -> "pd.Series[float] | None":
    """What each row of the table takes to train: as was given with the run, or the table says."""
    if (folder / SECONDS).exists():
        return pd.read_parquet(folder / SECONDS).iloc[:, 0].reindex(table.frame.index)
    return table.frame.get(TIME)
