"""Run many simulated searches on a table, and store one row per search."""

import itertools
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from foretell.checks import as_function, as_integer, as_path
from foretell.errors import ForetellError, unknown_name
from foretell.executors.processes import Lost, completed, pool, require_workers
from foretell.names import parse_spec
from foretell.progress import ProgressCallback, Tally
from foretell.proxies import higher_is_better
from foretell.runs.code import record_code
from foretell.runs.costs import column_of
from foretell.runs.rowlog import canonical
from foretell.runs.rows import SimulatedRow, add
from foretell.runs.store import Store
from foretell.runs.tasks import one_thread
from foretell.searchers import SEARCHERS
from foretell.studies.kept import (
    fingerprint_of,
    keep_scores,
    keep_seconds,
    keep_table,
    kept_benchmark,
)
from foretell.studies.read import Rows, read_study
from foretell.studies.simulate import (
    Benchmark,
    Simulated,
    make_strategy,
    simulate,
)
from foretell.tables import Table
from foretell.user_source import source_digest

__all__ = ["STRATEGIES", "run_simulations"]

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
"""The paper's algorithms with and without scores, and local search; the predictor is slower."""


MOST_SEEDS = 100_000
"""The maximum number of searches per strategy; more would not fit into memory or add
information."""


def run_simulations(
    scored: Rows | str | os.PathLike[str],
    *,
    run: str | os.PathLike[str],
    by: str = "synflow",
    strategies: Sequence[str] = STRATEGIES,
    told: Sequence[str] = (),
    seconds: str | None = None,
    trainings: int = 300,
    seeds: int = 100,
    workers: int = 1,
    progress: ProgressCallback | bool | None = None,
    noted: Callable[[str], object] = lambda notice: None,
) -> Path:
    """Simulate searches of a study's table with its scores, and return the path of the run folder.

    `scored` is the folder of the study, or the rows read from it. Each strategy searches once per
    seed and column of `told`; the values of this column serve as the results of trainings. The
    default is the first choosing column of the table. Reporting columns are allowed too, since the
    searchers of the paper received test accuracies; the report mentions it. `seconds` is a
    TABLE:COLUMN with the times of trainings, for a table that does not have them; it is stored with
    the run and does not affect the searches. `progress` is called with a `Progress` after each
    search. `noted` is called with one line of text if a damaged file was found in the folder and
    its content is computed again.

    If the function is called again with more strategies, columns or seeds, only the missing
    searches are run. The rows do not depend on the number of workers.

    Raises ForetellError for a bad argument, or for a folder that contains something else.
    """
    run, trainings = as_path("run", run), as_integer("trainings", trainings)
    seeds = as_integer("seeds", seeds, most=MOST_SEEDS)
    as_function("noted", noted, "a function of a line of text")
    require_workers(workers)
    rows = scored if isinstance(scored, Rows) else read_study(scored)
    benchmark = benchmark_of(rows.table, rows.runs[0], by, rows.config["space"]["settings"])
    columns = columns_told(rows.table, told)
    if not strategies:
        raise ForetellError(f"strategies is empty; give some, such as {' '.join(STRATEGIES[:2])}")
    for strategy in strategies:
        make_strategy(strategy, benchmark.space, 0)
    taken = None if seconds is None else column_of(seconds, benchmark.space).values.rename(seconds)
    code = {strategy: searcher_digest(strategy) for strategy in strategies}
    config = configuration(benchmark, by, float(rows.seconds[by]), rows.config)
    with Store.open(run, config) as store, pool(workers) as executor:
        keep_table(store, rows.table)
        keep_scores(store, benchmark.scores, config["scores"]["fingerprint"])
        if taken is not None:
            keep_seconds(store, taken)
        if store.notice:
            noted(store.notice)
        given = Given(str(store.folder), canonical(config))
        record_code(store, {f"strategy {name}": digest for name, digest in code.items()})
        tasks = [
            Search(given, name, column, trainings, seed, code[name])
            for seed, name, column in itertools.product(range(seeds), strategies, columns)
        ]
        carry_out(tasks, store, executor, workers, progress)
    return run


def searcher_digest(strategy: str) -> str:
    """The digest of the code of a strategy's searcher; empty if it is foretell's."""
    return source_digest(SEARCHERS[parse_spec(strategy)[0]].constructor)


def carry_out(
    searches: Sequence["Search"],
    store: Store,
    executor: Executor,
    workers: int,
    progress: ProgressCallback | bool | None,
) -> None:
    """Run the searches that have no row yet."""
    missing = {search: search for search in searches if search.row.key() not in store}
    tally = Tally(progress, {"search": len(searches)})
    for search in searches:
        if search not in missing:
            tally.add("search", search.in_words, cached=True)
    for search, found in completed(executor, missing, workers, store.group):
        if isinstance(found, Lost):
            raise ForetellError(f"the search {search.row.key()}: {found.why}")
        add(store, replace(search.row, trained=found.trained, scored=found.scored))
        tally.add("search", search.in_words)


def benchmark_of(table: Table, scores: pd.DataFrame, by: str, settings: Any) -> Benchmark:
    """The table with the scores that searches use, negated if lower is better."""
    if by not in scores:
        raise unknown_name("proxy", by, scores, f"the study has no scores {by!r}")
    if table.space == "models":
        raise ForetellError(
            f"table {table.name} is a zoo, which has no space to search; give a study of a space"
        )
    if (upwards := higher_is_better(by)) is None:
        raise ForetellError(f"it is unknown whether higher is better for {by}; register the proxy")
    sign = 1 if upwards else -1
    return Benchmark(table, sign * scores[by], settings)


def columns_told(table: Table, asked: Sequence[str]) -> list[str]:
    """The columns that searchers learn from, each in a separate search."""
    table.require_accuracies(asked)
    if not (asked or table.choosing):
        raise ForetellError(
            f"table {table.name} has no choosing column; name the column that searchers "
            "receive (--told)"
        )
    return list(asked or table.choosing[:1])


def configuration(
    benchmark: Benchmark, by: str, seconds: float, study: dict[str, Any]
) -> dict[str, Any]:
    """The configuration of the run, except what may grow: strategies, columns and seeds."""
    table = benchmark.table
    return {
        "job": "simulation",
        "table": {"name": table.name, "checksum": table.checksum},
        "space": study["space"],
        "by": by,
        "scores": {
            "fingerprint": fingerprint_of(benchmark.scores),
            "count": len(benchmark.scores),
            "data": study["data"],
            "batch_size": study["batch_size"],
            "seed": study["seed"],
            "seconds": seconds,
        },
    }


@dataclass(frozen=True)
class Given:
    """The inputs that all searches of a run share."""

    folder: str
    config: str
    """The run's configuration as JSON."""


@dataclass(frozen=True)
class Search:
    """The task of one search, which can run in any process that can read the run folder."""

    given: Given
    strategy: str
    told: str
    trainings: int
    seed: int
    code: str
    """The digest of the searcher's code; empty if it is foretell's."""

    @property
    def in_words(self) -> str:
        """The text for a progress bar."""
        return f"{self.strategy} by {self.told}, seed {self.seed}"

    @property
    def row(self) -> SimulatedRow:
        """The row of the search, without results."""
        code = {f"strategy {self.strategy}": self.code} if self.code else {}
        return SimulatedRow(self.strategy, self.told, self.trainings, self.seed, code=code)

    def __call__(self) -> Simulated:
        """Run the search."""
        benchmark = benchmark_of_run(self.given)
        with one_thread():
            return simulate(benchmark, self.strategy, self.told, self.trainings, self.seed)


@lru_cache(maxsize=2)
def benchmark_of_run(given: Given) -> Benchmark:
    """The benchmark stored in a run folder, read once per process."""
    return kept_benchmark(Path(given.folder), json.loads(given.config))
