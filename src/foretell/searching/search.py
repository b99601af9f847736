"""The main job: from a search space and a data set to the networks worth training."""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
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
from foretell.runs.rows import PickRow, add
from foretell.runs.store import Store
from foretell.runs.tasks import loaded
from foretell.runs.work import Work, suited
from foretell.scoring.settings import ScoreSettings
from foretell.searchers import Searcher
from foretell.searching.aims import Aims
from foretell.searching.outcome import SCORED, UNSCORED, Outcome, conclude, validation
from foretell.searching.stages import promoted, staged
from foretell.spaces import Arch, Space, Within
from foretell.training.settings import TrainSettings

__all__ = ["search"]

SCORED_AT_ONCE = 1_000
"""Scores that are asked for together; what a searcher wants scored does not wait for others."""


@dataclass(frozen=True)
class Defaults:
    """What a search does where nothing else is said: about three minutes on two cores."""

    space: str = "nb201"
    data: str = "digits"
    by: str = "synflow"
    searcher: str = "random"
    pool: int = 60
    trainings: int = 6
    batch_size: int = 64
    training: TrainSettings = field(default_factory=lambda: TrainSettings(epochs=6, lr=0.02))


DEMO, USUAL = Defaults(), ScoreSettings()


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
    plan = make_plan(proxies)
    check(by, [proxy.name for proxy in plan.proxies], pool, trainings)
    built = space_for(*parse_spec(space), splits) if isinstance(space, str) else space
    how = suited(scoring, splits)
    work = Work(built, data, plan, by, batch_size, training, seed, device, how)
    if executor is None and workers > 1:
        work.require_picklable()
    aims = Aims.of(searcher, against, limits or {}, work.space)
    for warmup in (pool, 0):  # what can't be made leaves no folder behind
        aims.searcher(work.space, seed, warmup, None)
    config = configuration(work, splits, pool, trainings, searcher) | aims.configuration()
    stages = staged(first_stage, work)
    config |= {"first_stage": first_stage} if first_stage else {}
    with Store.open(run, config) as store, workers_pool(executor or workers) as pooled:
        tally = Tally(progress, {"score": pool, "train": 2 * trainings})
        evaluator = Evaluator(work, store, pooled, workers, tally)
        evaluators = [
            evaluator if stage is work else Evaluator(stage, store, pooled, workers, tally)
            for stage in stages
        ]
        book = CostBook(evaluator)
        searched = Within(work.space, book.cost, aims.limits) if aims.limits else work.space
        arms = {
            arm: drive(
                aims.searcher(searched, seed, warmup, book),
                evaluators,
                trainings,
                aims.at_once,
                arm,
            )
            for arm, warmup in ((SCORED, pool), (UNSCORED, 0))
        }
        return conclude(arms, evaluator, book, aims)


def configuration(
    work: Work, splits: Splits, pool: int, trainings: int, searcher: str
) -> dict[str, Any]:
    """What a run folder is for; another configuration needs another folder."""
    return {
        "job": "search",
        "space": {"name": work.space.name, "settings": work.space.settings()},
        "data": {"name": splits.name, "fingerprint": splits.fingerprint},
        "batch": {"size": work.batch_size, "fingerprint": work.batch.fingerprint},
        "by": work.by,
        "searcher": searcher,
        "pool": pool,
        "trainings": trainings,
        "seed": work.seed,
        "training": work.training.key(),
        **work.unusual_scoring,
    }


def check(by: str, proxies: list[str], pool: int, trainings: int) -> None:
    """Raise ForetellError for numbers or a proxy that make no search."""
    if by not in proxies:
        raise ForetellError(f"cannot choose by {by!r}; it must be among the proxies: {proxies}")
    if trainings < 1:
        raise ForetellError(f"trainings is {trainings}; train at least 1 network")
    if pool < trainings:
        raise ForetellError(
            f"a pool of {pool} is too small to choose {trainings} networks from; "
            "score at least as many as are trained"
        )


def drive(
    searcher: Searcher, evaluators: list[Evaluator], trainings: int, at_once: int, arm: str
) -> list[Arch]:
    """Answer the searcher's questions until so many networks are trained; which they were in full.

    Trainings are those of the first of the evaluators, and the others' are of its best.

    Each has a row that says when the arm had it trained, and after how many scores.

    Answers are told in the order asked, and how many are asked for at a time does not depend on
    the number of workers, so that this does not change the run.
    """
    trained: list[Arch] = []
    scored: set[Arch] = set()
    stage, evaluator = evaluators[0], evaluators[-1]
    while len(trained) < trainings and (first := searcher.ask(1)):
        kind = first[0].kind
        count = SCORED_AT_ONCE if kind == "score" else min(at_once, trainings - len(trained))
        questions = [question for question in searcher.ask(count) if question.kind == kind]
        answering = evaluator if kind == "score" else stage
        for question, value in zip(questions, answering.answer(questions), strict=True):
            searcher.tell(question, value)
        if kind == "score":
            scored |= {question.arch for question in questions}
            continue
        for arch in (question.arch for question in questions):
            trained.append(arch)
            if len(evaluators) == 1:
                record(evaluator, arm, len(trained), arch, len(scored), 0.0)
    if len(evaluators) == 1:
        return trained
    best = promoted(trained, evaluators, validation)
    for number, arch in enumerate(best.archs, 1):
        record(evaluator, arm, number, arch, len(scored), best.seconds)
    return best.archs


def record(
    evaluator: Evaluator, arm: str, number: int, arch: Arch, scored: int, before: float
) -> None:
    """A row that says when an arm had a network trained in full, and after what."""
    add(evaluator.store, PickRow(arm, number, evaluator.network(arch).arch, scored, before))
