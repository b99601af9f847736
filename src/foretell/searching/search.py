"""Search a space for the best networks for a data set."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import Any

import torch

from foretell.checks import (
    as_flag,
    as_instance,
    as_integer,
    as_path,
    as_seed,
    as_text,
    optional,
)
from foretell.data import Splits
from foretell.engine.caller import own_settings
from foretell.engine.device import device_for
from foretell.engine.plan import DEFAULT, Request, make_plan, plain_name
from foretell.errors import ForetellError, shown
from foretell.executors.processes import pool as workers_pool
from foretell.executors.processes import require_workers
from foretell.models.zoo import ModelZoo, as_searched
from foretell.progress import ProgressCallback, Tally, as_progress
from foretell.proxies import BASELINES, PROXIES
from foretell.rankings import is_ranking, scores_for
from foretell.runs.code import Code, record_code
from foretell.runs.costs import CostBook, Costs
from foretell.runs.evaluate import Evaluator
from foretell.runs.rows import SEARCH
from foretell.runs.store import Store
from foretell.runs.tasks import Trial, Trials, loaded
from foretell.runs.trial import try_out
from foretell.runs.work import Work, suited
from foretell.scoring.settings import ScoreSettings
from foretell.searchers import SEARCHERS, distinct, make_searcher
from foretell.searching.arms import drive
from foretell.searching.compared import LARGEST, SCORED, SIZE, UNSCORED, arms_of
from foretell.searching.defaults import DEMO, usual_pool, usual_proxy
from foretell.searching.method import Method
from foretell.searching.outcome import Outcome, conclude
from foretell.searching.stages import staged
from foretell.searching.told import told_to
from foretell.spaces import Arch, Space, Within, enumerate_space, size
from foretell.training.own import OwnTraining, own_training
from foretell.training.settings import TrainSettings

__all__ = ["search"]


USUAL = ScoreSettings()


@own_settings()
def search(
    space: str | Sequence[str] | Space = DEMO.space,
    data: str | Splits = DEMO.data,
    *,
    run: str | os.PathLike[str],
    proxies: Request = DEFAULT,
    by: str | None = None,
    searcher: str = DEMO.searcher,
    pool: int | None = None,
    trainings: int = DEMO.trainings,
    batch_size: int = DEMO.batch_size,
    seed: int = 0,
    training: TrainSettings = DEMO.training,
    evaluate: Callable[..., object] | str | None = None,
    evaluate_command: str | None = None,
    evaluate_timeout: float | None = None,
    lower_is_better: bool = False,
    first_stage: str | None = None,
    compare: bool = False,
    compare_size: bool = False,
    against: Sequence[str] = (),
    limits: Mapping[str, float] | None = None,
    device: str = "cpu",
    scoring: ScoreSettings = USUAL,
    reduced_network: bool = False,
    workers: int = 1,
    executor: Executor | None = None,
    progress: ProgressCallback | bool | None = None,
) -> Outcome:
    """Search a space for the best networks for the data, guided by the scores of the proxy `by`.

    Returns an `Outcome`: the chosen network, and a table of all trainings with their scores.

    `by` is by default synflow, and jacob_cov for the space `cnn`. It may also be a ranking of the
    pool, such as "vote", "synflow+jacob_cov" (the mean of the ranks) or "log_rank:snip,flops", as
    for `foretell.rank`. The default proxies include those that `by` needs.

    `searcher` is a name with settings, such as `aging_evolution?population=8,tournament=3`. The
    search begins with a warmup on `pool` random networks (by default 60, and 200 of `cnn`), in the
    form that suits the algorithm; random search trains the best of them, and `guided` learns from
    all their scores. `trainings` networks are trained. Unless the searcher is `guided`, the pool is
    scored only by `by` and the baselines params and flops; the trained networks are scored by all
    proxies. The network with the best validation accuracy is saved in the folder `run`, with the
    rows of all scores and trainings. Repeating the call continues an interrupted search, or reads a
    finished one. With more `trainings`, a search without a first stage continues as if it had been
    started with them. Results that `foretell.tell` added to the folder are passed to the searcher.

    `space` may also be a list of models by name, as for `foretell.models.load_model`, or `@FILE`, a
    file with one name or pattern per line. All of them are scored, on images in the size that each
    requires. The result of a model that cannot be built, scored or trained is undefined, and its
    row says why. If names are added to the list, the same call continues in the same folder.

    With `compare`, the same searcher with the same seed also searches without scores and trains as
    many networks, which shows what the scores gained; this is the arm `unscored`, and the search
    with scores is the arm `scored`. With `compare_size`, as many networks of the pool are also
    trained in the order of their number of parameters, largest first (the arm `largest`); a score
    must outperform this arm to be useful.

    With `evaluate` or `evaluate_command`, networks are trained by a function or a command of your
    own (see `foretell.training.own`). It may return any value, which takes the place of the
    validation accuracy; `lower_is_better` says that it is a loss. The result of a training that
    raises an exception, returns no number or takes more than `evaluate_timeout` seconds is
    undefined, and its row says why. Then `data` is used only for scoring, and the only setting of
    `training` that has an effect is `epochs`, which is passed on as the budget.

    With a `first_stage`, the searcher receives the accuracies of short trainings. "halving" trains
    all networks for a ninth of the epochs, the best third of them for a third, and the best third
    of those in full; "econas" and "econas+" train all networks with the reduced training of EcoNAS,
    and the best third in full.

    `against` names costs to minimise while maximising the accuracy, for a searcher that supports
    costs (`nsga2`, by default params). `limits` maps costs to the largest value allowed. A cost is
    `params`, `flops`, `latency` (in ms, measured on this machine), or `TABLE:COLUMN`, a column of
    an imported table; networks without a value in it are not part of the search.

    `scoring` configures how networks are scored, and `training` how they are trained; if `scoring`
    has no loss, the loss of the data is used. Results of a GPU differ from those of a CPU in their
    last digits, so all results of a run are from one kind of device.

    With `reduced_network`, networks are scored in the reduced form of the space, which is cheaper
    (docs/python.md); they are trained, and their sizes are counted, in full.

    A space given by name is built for the data, as by `foretell.models.space_for`. `workers` is
    the number of processes, each on one thread; it does not change the rows. With an `executor` of
    your own, such as Dask's or Slurm's, it is the number of tasks at a time. The result of a
    network whose process dies twice is undefined, and its row says why. `progress` is called with a
    `Progress` after each network that is scored ("score") or trained ("train").

    Raises ForetellError for an invalid argument, or if the folder contains another run. Everything
    that can be checked is checked before the first file is written; for this purpose, one network
    is scored and prepared for training. A search that is refused leaves no files behind.

    >>> from tempfile import TemporaryDirectory
    >>> from torch import nn
    >>> from foretell import Choices
    >>> def mlp(width):
    ...     layers = nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10)
    ...     return nn.Sequential(nn.Flatten(), *layers)
    >>> space = Choices(mlp, {"width": [4, 8, 16]})
    >>> few = {"pool": 3, "trainings": 1, "training": TrainSettings(epochs=1)}
    >>> with TemporaryDirectory() as folder:
    ...     found = search(space, "digits", run=f"{folder}/run", by="params", **few)
    >>> found.table.index.tolist()
    [('scored', 'width=16')]
    """
    run, seed = as_path("run", run), as_seed("seed", seed)
    pool, trainings = optional(as_integer)("pool", pool), as_integer("trainings", trainings)
    batch_size = as_integer("batch_size", batch_size)
    progress = as_progress(progress)
    require_workers(workers, executor)
    arms = arms_of(
        compare=as_flag("compare", compare), compare_size=as_flag("compare_size", compare_size)
    )
    as_instance("training", training, TrainSettings)
    own = (evaluate, evaluate_command, lower_is_better, evaluate_timeout)
    training = own_training(training, *own, usual=DEMO.training)
    as_instance("scoring", scoring, ScoreSettings)
    device = device_for(device, executor)
    splits = loaded(data)
    built = as_searched(space, splits)
    asked = by
    by = usual_proxy(built.name) if by is None else plain_name(as_text("by", by, "a proxy"))
    how = suited(scoring, splits)
    needed = scores_for(by) if is_ranking(by) or by in PROXIES else ()
    plan = make_plan((*DEFAULT, *needed) if proxies is DEFAULT else proxies)
    smaller = as_flag("reduced_network", reduced_network)
    work = Work(built, data, plan, by, batch_size, training, seed, device, how, smaller)
    method = Method.of(searcher, against, limits, built)
    if asked is not None and method.learns_from_all:
        raise ForetellError(
            f"by is {shown(asked)}, which has no effect on the searcher {method.name}, which "
            "learns from all scores; leave it out"
        )
    work = replace(work, code=work.code.and_also({**method.code, **of_candidates(built)}))
    job = Job(work, method, pool, trainings, staged(first_stage, work), first_stage, arms)
    job.check()
    if executor is None and workers > 1:
        work.require_picklable()
    config = job.configuration()
    with ExitStack() as outlasting, workers_pool(executor or workers) as pooled:
        try_out(job.trial, pooled, run)
        store = outlasting.enter_context(Store.open(run, config, job.growing))
        return job.run(store, pooled, workers, progress)


def of_candidates(space: Space) -> dict[str, str]:
    """The digest of a list of models, which all choices depend on; empty for any other space."""
    if not isinstance(space, ModelZoo):
        return {}
    return {"candidates": space.digest, **Code.of_models(space, list(enumerate_space(space)))}


@dataclass(frozen=True, eq=False)
class Job:
    """A search and all its settings."""

    work: Work
    method: Method
    asked_pool: int | None
    trainings: int
    stages: list[Work]
    """The work of each stage; the last one is the full training, `work`."""
    first_stage: str | None = None
    arms: Sequence[str] = (SCORED,)
    """The arms of the search. They are not part of the configuration, since a comparison can be
    added to a finished run."""

    @cached_property
    def zoo(self) -> ModelZoo | None:
        """The candidates, if the space is a list of models, each of which may fail by itself."""
        return self.work.space if isinstance(self.work.space, ModelZoo) else None

    @property
    def pool(self) -> int:
        """The number of networks to score: by default all candidates of a list."""
        if self.asked_pool is not None:
            return self.asked_pool
        return len(self.zoo.names) if self.zoo else usual_pool(self.work.space.name)

    @property
    def needed(self) -> list[str]:
        """The proxies of the whole pool: those that the choices depend on, and the baselines.

        The other proxies are computed only for networks that are trained.
        """
        names = self.work.plan.names
        if SEARCHERS[self.method.name].scores:
            return names
        return [name for name in names if name in (*scores_for(self.work.by, names), *BASELINES)]

    def check(self) -> None:
        """Raise ForetellError if the numbers, the proxy or the searcher are not valid."""
        by, proxies = self.work.by, self.work.plan.names
        if missing := [name for name in scores_for(by, proxies) if name not in proxies]:
            said = "" if missing == [by] else f" without {', '.join(missing)}"
            raise ForetellError(
                f"cannot choose by {by!r}{said}; give one of the proxies {', '.join(proxies)}, or "
                "a ranking of them"
            )
        if is_ranking(by) and self.method.settings.get("moves"):
            raise ForetellError(
                f"moves compares scores of single networks, and {by} ranks the whole pool; leave "
                "moves out, or choose by a proxy"
            )
        if LARGEST in self.arms and (by == SIZE or SIZE not in proxies):
            raise ForetellError(
                f"compare_size compares with choosing by {SIZE}; choose by another proxy, and have "
                f"{SIZE} among the proxies"
            )
        if self.pool < self.trainings and not (self.zoo and self.asked_pool is None):
            raise ForetellError(
                f"a pool of {self.pool} is too small to choose {self.trainings} networks from; "
                "score at least as many as are trained"
            )
        if self.pool > (most := size(self.work.space)):
            raise ForetellError(
                f"a pool of {self.pool} is more than the space's {most} architectures; "
                f"give at most {most}"
            )
        for stage in self.stages:
            stage.training.require(loaded(stage.data).kind, torch.device(stage.device).type)
        for warmup in (self.pool, 0):
            self.method.searcher(self.work.space, self.work.seed, warmup, None)

    def trial(self) -> Trials:
        """The trial of one network, before the run folder is made.

        For a list of models, each one is tried until one does not fail.

        Raises ForetellError if no network of the space is within the limits, or if the tables of
        costs have values of fewer networks than the pool.
        """
        if self.zoo:
            return Trials(tuple(map(self.trial_of, enumerate_space(self.zoo))))
        drawn = distinct(self.limited(Costs(self.work).cost), self.work.seed)
        count = self.pool if self.method.columns else 1
        first = [arch for arch, _ in islice(drawn, count)]
        if len(first) < count:
            raise ForetellError(
                f"a pool of {count} is more than the {len(first)} networks of "
                f"{self.work.space.name} that have a value of {', '.join(self.method.columns)}; "
                f"give at most {len(first)}"
            )
        return Trials((self.trial_of(first[0]),))

    def trial_of(self, arch: Arch) -> Trial:
        """The trial of one network."""
        trainings = tuple(stage.training_of(arch) for stage in self.stages)
        return Trial(self.work.scoring_of(arch), trainings)

    def limited(self, cost: Callable[[str, Arch], float]) -> Space:
        """The space restricted to networks within the limits, and with values of all costs."""
        limits = dict.fromkeys(self.method.columns, math.inf) | dict(self.method.limits)
        return Within(self.work.space, cost, limits) if limits else self.work.space

    @property
    def growing(self) -> tuple[str, ...]:
        """The settings that may be larger when a search is continued."""
        return ("evaluate_timeout", *(() if self.first_stage else ("trainings",)))

    def configuration(self) -> dict[str, Any]:
        """The configuration of the run folder; a different one requires a different folder."""
        work, splits = self.work, loaded(self.work.data)
        staging: dict[str, Any] = {"first_stage": self.first_stage} if self.first_stage else {}
        if isinstance(work.training, OwnTraining) and work.training.timeout is not None:
            staging["evaluate_timeout"] = work.training.timeout
        return {
            "job": "search",
            "space": {"name": work.space.name, "settings": work.space.settings()},
            "data": {"name": splits.name, "fingerprint": splits.fingerprint},
            "batch": {"size": work.batch_size, "fingerprint": work.batch.fingerprint},
            "by": work.by,
            "searcher": self.method.text,
            "pool": self.asked_pool if self.zoo else self.pool,
            "trainings": self.trainings,
            "seed": work.seed,
            "training": work.training.key(),
            **work.unusual_scoring,
            **self.method.configuration(),
            **staging,
        }

    def run(
        self, store: Store, executor: Executor, at_once: int, progress: ProgressCallback | None
    ) -> Outcome:
        """Run all arms of the search, and choose a network."""
        work, method = self.work, self.method
        code = work.code.of_search(work.by)
        record_code(store, {SEARCH: "", **work.code.digests, **code})
        tally = Tally(progress, {"score": self.pool, "train": len(self.arms) * self.trainings})
        how = (store, executor, at_once, tally, self.zoo is not None)
        pooled = [Evaluator(stage.scoring_by(*self.needed), *how) for stage in self.stages]
        by_size = [replace(one, work=replace(one.work, by=SIZE)) for one in pooled]
        whole = Evaluator(work, *how)
        book, told = CostBook(whole), told_to(whole)
        space = self.limited(book.cost)
        searchers = {
            SCORED: lambda: method.searcher(space, work.seed, self.pool, book),
            UNSCORED: lambda: method.searcher(space, work.seed, 0, book),
            LARGEST: lambda: make_searcher("random", space, work.seed, warmup=self.pool),
        }
        arms = {}
        for arm in self.arms:
            answering = by_size if arm == LARGEST else pooled
            budget = (self.trainings, method.at_once, arm, code, told)
            arms[arm] = drive(searchers[arm](), answering, *budget)
        return conclude(arms, whole, book, method, told)
