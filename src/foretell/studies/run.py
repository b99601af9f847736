"""Score the architectures of a benchmark and store the scores as rows of a run."""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from foretell.checks import (
    as_flag,
    as_function,
    as_instance,
    as_integer,
    as_path,
    as_seed,
    as_text,
    as_texts,
    optional,
)
from foretell.data import Splits
from foretell.engine.caller import own_settings
from foretell.engine.device import device_for
from foretell.engine.plan import Request, make_plan
from foretell.errors import ForetellError
from foretell.executors.processes import pool, require_workers
from foretell.models.sources import require_registered
from foretell.models.spaces import space_for
from foretell.models.specs import Like
from foretell.models.zoo import ModelZoo
from foretell.names import parse_spec
from foretell.progress import ProgressCallback, Tally, as_progress
from foretell.proxies import BASELINES, PAPER
from foretell.runs.code import record_code
from foretell.runs.evaluate import Evaluator
from foretell.runs.store import Store
from foretell.runs.tasks import Data, Trial, loaded
from foretell.runs.trial import try_out
from foretell.runs.work import Work, suited
from foretell.scoring.settings import ScoreSettings
from foretell.searchers import Question
from foretell.spaces import Arch, Space
from foretell.studies.kept import keep_table
from foretell.studies.read import drawn
from foretell.tables import Table, read_table
from foretell.tables.keys import NDS
from foretell.training.settings import TrainSettings

__all__ = ["STUDIED", "run_study"]

USUAL = ScoreSettings()
STUDIED = (*PAPER, "plain", "l2_norm", "nwot", *BASELINES)
"""The six proxies of the paper, some that cost little more, and the baselines."""


@own_settings()
def run_study(
    table: str | os.PathLike[str] | Table,
    data: Data,
    *,
    run: str | os.PathLike[str],
    proxies: Request = STUDIED,
    sample: int | None = 1000,
    repeats: int = 1,
    batch_size: int = 64,
    seed: int = 0,
    space: str | None = None,
    reduced: Sequence[str] = (),
    reduced_network: bool = False,
    device: str = "cpu",
    scoring: ScoreSettings = USUAL,
    workers: int = 1,
    executor: Executor | None = None,
    progress: ProgressCallback | bool | None = None,
    told: Callable[[str], object] = lambda notice: None,
) -> Path:
    """Score random architectures of a table, and return the path of the run folder.

    `sample` is the number of architectures, or None for all; only one of several isomorphic
    architectures is scored. Each of the `repeats` draws new weights and a new minibatch, with the
    seeds `seed`, `seed` + 1, … `space`, such as `nb201?channels=8`, is by default the space of the
    table, built for the data. `reduced` names trainings of `REDUCED` that are also done, for
    comparison with the scores. With `reduced_network`, networks are scored in the reduced form of
    the space, which is cheaper (docs/python.md); their sizes are counted in full.

    If the function is called again with more proxies, more repeats or a larger sample, only the
    missing rows are computed. The rows do not depend on the number of workers. With an `executor`
    of your own, such as that of Dask or Slurm, `workers` tasks are computed at a time. The scores
    of a network of a zoo that cannot be scored, or whose process dies twice, are undefined, with
    the reason in the row. `told` is called with one line of text if a damaged file was found in the
    folder and its content is computed again, or if rows of another version of your own code are
    left out. `progress` is called with a `Progress` after each network scored ("score") or trained
    ("train").

    `scoring` has the settings of scoring; by default, the loss is that of the data. The last digits
    differ between GPU and CPU, so all scores of a run must come from one kind of device.

    Raises ForetellError for a bad argument, a table of another space, or a folder that contains
    another study. Everything that can be checked is checked before the first file is written; for
    this purpose, one network is scored and prepared for the reduced trainings. A study that is
    refused leaves no files behind.

    >>> from tempfile import TemporaryDirectory
    >>> import pandas as pd
    >>> from foretell.studies import read_study
    >>> from foretell.tables import Table
    >>> accuracies = {"test": [10.0, 72.0, 91.0, 90.0]}
    >>> frame = pd.DataFrame(accuracies, ["000000", "111111", "333333", "222222"])
    >>> table = Table("mine", "nb201", frame, reporting=("test",))
    >>> small = {"space": "nb201?channels=2,cells=1", "proxies": ["params", "flops"]}
    >>> with TemporaryDirectory() as folder:
    ...     run = run_study(table, "digits", run=f"{folder}/run", sample=None, **small)
    ...     read_study(run).runs[0].loc["111111"].tolist()
    [1296.0, 16800.0]
    """
    run, seed, repeats = as_path("run", run), as_seed("seed", seed), as_integer("repeats", repeats)
    as_seed("the last seed", seed + repeats)
    batch_size = as_integer("batch_size", batch_size)
    sample = optional(as_integer)("sample", sample, 3)
    reduced = as_texts("reduced", reduced, "names of reduced trainings")
    progress = as_progress(progress)
    as_function("told", told, "a function of a line of text")
    require_workers(workers, executor)
    as_instance("scoring", scoring, ScoreSettings)
    device = device_for(device, executor)
    known = table if isinstance(table, Table) else read_table(os.fspath(as_path("table", table)))
    splits, plan = loaded(data), make_plan(proxies)
    built = space_of(known, space, splits)
    by, how = plan.proxies[0].name, suited(scoring, splits)
    smaller = as_flag("reduced_network", reduced_network)
    usual = TrainSettings()
    first = Work(built, data, plan, by, batch_size, usual, seed, device, how, smaller)
    if executor is None and workers > 1:
        first.require_picklable()
    config = configuration(known, splits, first)
    trained = {name: first.reduced(name) for name in reduced}
    archs = [built.parse(text) for text, _ in drawn(known, built, seed, sample)]
    job = Job(first, trained, list(map(built.canonical, archs)), repeats)
    with ExitStack() as outlasting, pool(executor or workers) as pooled:
        try_out(job.trial, pooled, run)
        store = outlasting.enter_context(Store.open(run, config))
        keep_table(store, known)
        record_code(store, job.code())
        if store.notice:
            told(store.notice)
        job.run(store, pooled, workers, progress)
    return run


@dataclass(frozen=True, eq=False)
class Job:
    """The tasks of a study."""

    first: Work
    smaller: Mapping[str, Work]
    """The reduced trainings by name."""
    archs: Sequence[Arch]
    repeats: int

    @property
    def zoo(self) -> bool:
        """Whether the networks are published models, each of which may fail by itself."""
        return isinstance(self.first.space, ModelZoo)

    def code(self) -> dict[str, str]:
        """The digests of all user code by name; those of foretell's code are empty."""
        found = dict(self.first.code.digests)
        for work in self.smaller.values():
            found |= {name: d for name, d in work.code.digests.items() if name not in found}
        return found | self.first.code.of_models(self.first.space, self.archs)

    def trial(self) -> Callable[[], object]:
        """The task that tries out one network before the run folder is made."""
        if self.zoo:
            return int  # does nothing, but shows that the executor runs tasks
        trainings = tuple(work.training_of(self.archs[0]) for work in self.smaller.values())
        return Trial(self.first.scoring_of(self.archs[0]), trainings)

    def run(
        self, store: Store, pooled: Executor, workers: int, progress: ProgressCallback | None
    ) -> None:
        """Compute the rows that are missing."""
        count = len(self.archs)
        totals = {"score": count * self.repeats, "train": count * len(self.smaller)}
        tally = Tally(progress, totals)
        for again in range(self.repeats):
            work = replace(self.first, seed=self.first.seed + again)
            evaluator = Evaluator(work, store, pooled, workers, tally, refusals=self.zoo)
            evaluator.compute([Question(arch, "score") for arch in self.archs])
        for name, work in self.smaller.items():
            evaluator = Evaluator(work, store, pooled, workers, tally, reduced=name)
            evaluator.compute([Question(arch, "train") for arch in self.archs])


def space_of(table: Table, spec: str | None, splits: Splits) -> Space:
    """The space of the table, which builds networks for the data."""
    if table.space == NDS:
        raise ForetellError(
            f"the networks of table {table.name} cannot be built, since foretell has no space of "
            "NDS; read the table by read_table, or study a table of a space of `foretell list "
            "spaces`"
        )
    if table.space == "models":
        names = tuple(map(str, table.frame.index))
        if table.from_file:
            for name in names:
                require_registered(name)
        return ModelZoo(names, Like.of(splits))
    name, settings = parse_spec(optional(as_text)("space", spec) or table.space)
    if name != table.space:
        raise ForetellError(
            f"table {table.name} is of space {table.space}, not {name}; give {table.space}, with "
            "settings if needed"
        )
    return space_for(name, settings, splits)


def configuration(table: Table, splits: Splits, work: Work) -> dict[str, Any]:
    """The configuration of the run, except what may grow: proxies, repeats and the sample."""
    return {
        "job": "study",
        "table": {"name": table.name, "checksum": table.checksum},
        "space": {"name": work.space.name, "settings": work.space.settings()},
        "data": {"name": splits.name, "fingerprint": splits.fingerprint},
        "batch_size": work.batch_size,
        "seed": work.seed,
        "loss": work.score_key["loss"],
        **work.unusual_scoring,
    }
