"""The main job: from a search space and a data set to the networks worth training."""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from foretell.data import Splits
from foretell.engine.plan import DEFAULT, Request, make_plan
from foretell.errors import ForetellError
from foretell.executors.processes import pool as workers_pool
from foretell.models.spaces import space_for
from foretell.names import parse_spec
from foretell.progress import ProgressCallback, Tally
from foretell.runs.costs import CostBook
from foretell.runs.evaluate import Evaluator
from foretell.runs.store import Store
from foretell.runs.tasks import loaded
from foretell.runs.work import Work, suited
from foretell.scoring.settings import ScoreSettings
from foretell.searching.aims import Aims
from foretell.searching.arms import drive
from foretell.searching.defaults import DEMO
from foretell.searching.outcome import SCORED, UNSCORED, Outcome, conclude
from foretell.searching.stages import staged
from foretell.spaces import Space, Within, size
from foretell.training.settings import TrainSettings

__all__ = ["search"]


USUAL = ScoreSettings()


def search(
    space: str | Space = DEMO.space,
    data: str | Splits = DEMO.data,
    *,
    run: str | os.PathLike[str],
    proxies: Request = DEFAULT,
    by: str = DEMO.by,
    searcher: str = DEMO.searcher,
    pool: int = DEMO.pool,
    trainings: int = DEMO.trainings,
    batch_size: int = DEMO.batch_size,
    seed: int = 0,
    training: TrainSettings = DEMO.training,
    first_stage: str | None = None,
    against: Sequence[str] = (),
    limits: Mapping[str, float] | None = None,
    device: str = "cpu",
    scoring: ScoreSettings = USUAL,
    workers: int = 1,
    executor: Executor | None = None,
    progress: ProgressCallback | None = None,
) -> Outcome:
    """Search with the help of the proxy `by`, train `trainings` networks, and as many without it.

    `searcher` is a name with settings, such as `aging_evolution?population=8,tournament=3`. The
    scored arm begins with a warmup on `pool` random networks, in the form of its algorithm: random
    search trains the best of them. The unscored arm is the same searcher with the same seed and no
    scores, so both arms differ by the scores alone. The trained network of the scored arm that is
    best on the validation images is chosen and saved in the folder `run`, with the rows of all
    scores and trainings. Called again with the same arguments it continues where it was, or just
    reads what is there.

    With a `first_stage` the searchers are told the accuracies of short trainings. "halving" trains
    all for a ninth of the epochs, the best third for a third, and of those the best third in full;
    "econas" and "econas+" train all by EcoNAS's reduced training, and the best third in full.

    `against` names costs to weigh accuracy against (searcher `nsga2`; by default #params), `limits`
    says what costs may be at most: `params`, `flops`, `latency` in ms, measured here, or a column
    of an imported table, `TABLE:COLUMN`.

    `scoring` says how networks are scored, `training` how they are trained; where `scoring` names
    no loss, it is the data's own. Results of a GPU differ from a CPU's in their last digits, so a
    run is of one kind of device.

    A space given by name is built for the data, as `foretell.models.space_for` says. `workers` is
    how many processes compute, each on one thread; the rows are the same whatever their number.
    With an `executor` of your own, such as Dask's or Slurm's, it computes so many tasks at a time.
    A network whose process dies twice is undefined, and the row says why. `progress` is called
    with a `Progress` after each network that was scored ("score") or trained ("train").

    Raises ForetellError for a bad argument, or a folder that holds something else.
    """
    splits = loaded(data)
    built = space_for(*parse_spec(space), splits) if isinstance(space, str) else space
    how, plan = suited(scoring, splits), make_plan(proxies)
    work = Work(built, data, plan, by, batch_size, training, seed, device, how)
    aims = Aims.of(searcher, against, limits or {}, built)
    job = Job(work, aims, pool, trainings, staged(first_stage, work), first_stage)
    job.check()
    if executor is None and workers > 1:
        work.require_picklable()
    with Store.open(run, job.configuration()) as store, workers_pool(executor or workers) as pooled:
        return job.run(store, pooled, workers, progress)


@dataclass(frozen=True, eq=False)
class Job:
    """What a search is to do."""

    work: Work
    aims: Aims
    pool: int
    trainings: int
    stages: list[Work]
    """The full training, `work`, last."""
    first_stage: str | None = None

    def check(self) -> None:
        """Raise ForetellError for numbers, a proxy or a searcher that make no search."""
        by, proxies = self.work.by, [proxy.name for proxy in self.work.plan.proxies]
        if by not in proxies:
            raise ForetellError(f"cannot choose by {by!r}; it must be among the proxies: {proxies}")
        if self.trainings < 1:
            raise ForetellError(f"trainings is {self.trainings}; train at least 1 network")
        if self.pool < self.trainings:
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
            stage.training.require(loaded(stage.data).kind)
        for warmup in (self.pool, 0):
            self.aims.searcher(self.work.space, self.work.seed, warmup, None)

    def configuration(self) -> dict[str, Any]:
        """What a run folder is for; another configuration needs another folder."""
        work, splits = self.work, loaded(self.work.data)
        staging = {"first_stage": self.first_stage} if self.first_stage else {}
        return {
            "job": "search",
            "space": {"name": work.space.name, "settings": work.space.settings()},
            "data": {"name": splits.name, "fingerprint": splits.fingerprint},
            "batch": {"size": work.batch_size, "fingerprint": work.batch.fingerprint},
            "by": work.by,
            "searcher": self.aims.text,
            "pool": self.pool,
            "trainings": self.trainings,
            "seed": work.seed,
            "training": work.training.key(),
            **work.unusual_scoring,
            **self.aims.configuration(),
            **staging,
        }

    def run(
        self, store: Store, executor: Executor, at_once: int, progress: ProgressCallback | None
    ) -> Outcome:
        """Search with scores and without, and choose."""
        work, aims = self.work, self.aims
        tally = Tally(progress, {"score": self.pool, "train": 2 * self.trainings})
        evaluators = [Evaluator(stage, store, executor, at_once, tally) for stage in self.stages]
        book = CostBook(evaluators[-1])
        space = Within(work.space, book.cost, aims.limits) if aims.limits else work.space
        arms = {}
        for arm, warmup in ((SCORED, self.pool), (UNSCORED, 0)):
            searcher = aims.searcher(space, work.seed, warmup, book)
            arms[arm] = drive(searcher, evaluators, self.trainings, aims.at_once, arm)
        return conclude(arms, evaluators[-1], book, aims)
