"""The main job: from a search space and a data set to the networks worth training."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from foretell.costs import COSTS, require_cost
from foretell.data import Splits
from foretell.engine.plan import DEFAULT, Request, make_plan
from foretell.errors import ForetellError
from foretell.files import write_atomically
from foretell.pareto import undominated
from foretell.runs.costs import CostBook, column_of
from foretell.runs.evaluate import Evaluator, Tick, Work
from foretell.runs.store import Store
from foretell.runs.tasks import loaded
from foretell.runs.workers import pool as workers_pool
from foretell.searchers import SEARCHERS, Question, Searcher, make_searcher
from foretell.spaces import SPACES, Arch, Space, Within, make_space, own_space
from foretell.spec import parse_spec
from foretell.stages import promoted, staged
from foretell.training import TrainSettings
from foretell.version import __version__

__all__ = ["Outcome", "load_chosen", "search"]

SCORED, UNSCORED = "scored", "unscored"
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


DEMO = Defaults()


@dataclass(frozen=True)
class Outcome:
    """What a search found."""

    table: pd.DataFrame
    """A row a training: which arm it belongs to, the architecture, its scores, accuracies in %
    and seconds. `test_accuracy` is there for the chosen network of each arm only."""
    chosen: nn.Module
    """The network of the scored arm with the best validation accuracy, trained."""
    front: pd.DataFrame
    """The rows of the scored arm that no other of it is better than in validation accuracy and
    every cost that the search weighed; the best one alone where it weighed none."""
    scoring_seconds: float
    """What scoring the pool took, added up over the workers."""
    short: dict[str, str]
    """A short name for each architecture of the table; the space's `parse` knows it too."""
    folder: Path
    notice: str
    """What was damaged in the run folder and is computed again; empty if nothing was."""


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
    tf32: bool = False,
    workers: int = 1,
    executor: Executor | None = None,
    progress: Callable[[Tick], object] = lambda tick: None,
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

    What a GPU computes has other last digits, and a run is of one kind of device. `tf32` lets a GPU
    score with the 10 bits of TF32; for trainings that is a precision of `training`.

    A space given by name is built for the data's classes and image shape. `workers` is how many
    processes compute, each on one thread; the rows are the same whatever their number. With an
    `executor` of your own, such as Dask's or Slurm's, it computes so many tasks at a time. A
    network whose process dies twice is undefined, and the row says why.

    Raises ForetellError for a bad argument, or a folder that holds something else.
    """
    splits = loaded(data)
    plan = make_plan(proxies)
    check(by, [proxy.name for proxy in plan.proxies], pool, trainings)
    work = Work(
        fit_to(space, splits), data, plan, by, batch_size, training, seed, device, tf32=tf32
    )
    aims = Aims.of(searcher, against, limits or {}, work.space)
    for warmup in (pool, 0):  # what can't be made leaves no folder behind
        aims.searcher(work.space, seed, warmup, None)
    config = configuration(work, splits, pool, trainings, searcher) | aims.configuration()
    stages = staged(first_stage, work)
    config |= {"first_stage": first_stage} if first_stage else {}
    with Store.open(run, config) as store, workers_pool(executor or workers) as pooled:
        evaluator = Evaluator(work, store, pooled, workers, progress)
        evaluators = [
            evaluator if stage is work else Evaluator(stage, store, pooled, workers, progress)
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


@dataclass(frozen=True)
class Aims:
    """What searches, and for what beside accuracy."""

    name: str
    settings: Mapping[str, Any]
    against: tuple[str, ...]
    limits: Mapping[str, float]

    @classmethod
    def of(
        cls, searcher: str, against: Sequence[str], limits: Mapping[str, float], space: Space
    ) -> "Aims":
        """Raises ForetellError for a searcher, cost or limit that can't be used."""
        name, settings = parse_spec(searcher)
        for taken, option in (("warmup", "pool"), ("costs", "against")):
            if taken in settings:
                raise ForetellError(
                    f"searcher {name} has no setting {taken!r} here; it is what `{option}` says"
                )
        weighs = name in SEARCHERS and SEARCHERS[name].costs
        for cost in (*against, *limits):
            require_cost(cost)
            if cost not in COSTS:
                column_of(cost, space)
        return cls(name, settings, tuple(against or (("params",) if weighs else ())), dict(limits))

    @property
    def at_once(self) -> int:
        """How many trainings may be under way."""
        return SEARCHERS[self.name].at_once

    def searcher(self, space: Space, seed: int, warmup: int, book: CostBook | None) -> Searcher:
        """Fresh; without a warmup it has no help at all. Without a book nothing costs anything."""
        settings = {k: v for k, v in self.settings.items() if warmup or k != "moves"}

        def costs(arch: Arch) -> list[float]:
            return [0.0 if book is None else book.cost(name, arch) for name in self.against]

        weighed = costs if self.against else None
        return make_searcher(self.name, space, seed, warmup=warmup, costs=weighed, **settings)

    def configuration(self) -> dict[str, Any]:
        """What a run folder says of it, where there is anything beside accuracy."""
        given = {"against": list(self.against), "limits": dict(self.limits)}
        return {name: value for name, value in given.items() if value}


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
        **work.score_device_key,
    }


def fit_to(space: str | Space, splits: Splits) -> Space:
    """A space given by name: `nb201?channels=8`, made for the data, or your own `FILE.py:NAME`."""
    if not isinstance(space, str):
        return space
    if ":" in space:
        return own_space(space)
    name, settings = parse_spec(space)
    channels, height, _ = splits.image_shape
    fitting = {"classes": splits.classes, "in_channels": channels, "resolution": height}
    return make_space(name, fitting | settings)


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
    key = {"kind": "trained", "arm": arm, "number": number}
    about: dict[str, Any] = {"arch": evaluator.work.space.format(arch), "scored": scored}
    evaluator.store.add({"key": key, **about, **({"before": before} if before else {})})


def conclude(
    arms: dict[str, list[Arch]], evaluator: Evaluator, book: CostBook, aims: Aims
) -> Outcome:
    """The table of both arms, and the chosen network saved in the run folder."""
    evaluator.compute([Question(arch, "score") for archs in arms.values() for arch in archs])
    rows: list[dict[str, Any]] = []
    best: dict[str, Arch] = {}
    for arm, archs in arms.items():
        best[arm] = max(archs, key=lambda arch: validation(evaluator, arch))
        if not evaluator.training(best[arm])["history"]:
            why = evaluator.training(best[arm])["why"]
            raise ForetellError(f"no network of the {arm} arm could be trained: {why}")
        for arch in archs:
            costs = {name: book.cost(name, arch) for name in (*aims.against, *aims.limits)}
            rows.append(outcome_row(evaluator, arm, arch, arch == best[arm]) | costs)
    save_chosen(best[SCORED], evaluator)
    store = evaluator.store
    table = pd.DataFrame(rows).set_index(["arm", "arch"])
    return Outcome(
        table=table,
        front=front(table.loc[[SCORED]], aims.against),
        chosen=load_chosen(store.folder, evaluator.work.space),
        scoring_seconds=scoring_seconds(evaluator),
        short={
            evaluator.work.space.format(arch): short_name(evaluator.work.space, arch)
            for archs in arms.values()
            for arch in archs
        },
        folder=store.folder,
        notice=store.notice,
    )


def front(table: pd.DataFrame, against: Sequence[str]) -> pd.DataFrame:
    """The rows that no other is better than, the most accurate first."""
    accuracy = -table["val_accuracy"].astype(float)
    points = pd.concat([accuracy, *(table[name] for name in against)], axis=1)
    best = table[undominated(points.to_numpy(dtype=float))]
    return best.sort_values("val_accuracy", ascending=False)


def short_name(space: Space, arch: Arch) -> str:
    """Its text, or where that is long its options' numbers, if they are digits."""
    text, digits = space.format(arch), "".join(map(str, arch))
    return text if len(text) <= 40 or len(digits) > len(arch) else digits


def validation(evaluator: Evaluator, arch: Arch) -> float:
    """Validation accuracy in %; minus infinity if training diverged."""
    accuracy = evaluator.training(arch)["val_accuracy"]
    return float("-inf") if accuracy is None else float(accuracy)


def outcome_row(evaluator: Evaluator, arm: str, arch: Arch, chosen: bool) -> dict[str, Any]:
    """One line of the table."""
    training = evaluator.training(arch)
    return {
        "arm": arm,
        "arch": evaluator.work.space.format(arch),
        **{name: row["value"] for name, row in evaluator.scores(arch).items()},
        "val_accuracy": training["val_accuracy"],
        "test_accuracy": training["test_accuracy"] if chosen else None,
        "seconds": training["seconds"],
        "why": training["why"] or "",
    }


def scoring_seconds(evaluator: Evaluator) -> float:
    """The time all scores of the run took, passes shared by several proxies counted once."""
    slowest: dict[str, float] = {}
    for row in evaluator.store.rows():
        if row["key"]["kind"] == "score":
            network = str(row["key"]["arch"])
            slowest[network] = max(slowest.get(network, 0.0), row["seconds"])
    return sum(slowest.values())


def save_chosen(arch: Arch, evaluator: Evaluator) -> None:
    """Write chosen.pt, a state_dict, and chosen.json, what rebuilds the network it fits."""
    folder = evaluator.store.folder
    training = evaluator.training(arch)
    about = evaluator.network(arch) | {
        "weights": "chosen.pt",
        "val_accuracy": training["val_accuracy"],
        "test_accuracy": training["test_accuracy"],
        "foretell": __version__,
    }
    weights = evaluator.weights_file(arch)
    try:
        content = weights.read_bytes()
    except OSError as error:
        raise ForetellError(
            f"cannot read {weights}, which this run has trained: {error.strerror}; "
            "restore it or give another --run folder"
        ) from error
    write_atomically(folder / "chosen.pt", content)
    write_atomically(folder / "chosen.json", f"{json.dumps(about, indent=2)}\n".encode())


def load_chosen(run: str | os.PathLike[str], space: str | Space | None = None) -> nn.Module:
    """The trained network that a search chose, in evaluation mode, on the CPU.

    A space of your own is given again, as an object or `FILE.py:NAME`: nothing in the run folder
    is executed. Raises ForetellError if the search has not finished.
    """
    folder = Path(run)
    about = read_chosen(folder)
    built = space_of(about, space)
    model = built.build(built.parse(about["arch"]), about["seed"])
    path = folder / about["weights"]
    try:
        model.load_state_dict(torch.load(path, weights_only=True, map_location="cpu"))
    except Exception as error:  # torch raises what it likes
        raise ForetellError(f"{path} is damaged; {REDO}") from error
    return model.eval()


REDO = "delete it and run the same command again"
CHOSEN = {"space": str, "settings": dict, "arch": str, "seed": int, "weights": str}
"""What chosen.json says at least of what rebuilds a network."""


def read_chosen(folder: Path) -> dict[str, Any]:
    """What chosen.json says. Raises ForetellError if the search has not finished."""
    try:
        about: dict[str, Any] = json.loads((folder / "chosen.json").read_bytes())
        kinds = {name: type(about[name]) for name in CHOSEN}
    except FileNotFoundError:
        raise ForetellError(
            f"{folder} holds no chosen network yet; let `foretell search --run {folder}` finish"
        ) from None
    except (ValueError, KeyError, TypeError):
        kinds = {}
    if kinds != CHOSEN:
        raise ForetellError(f"{folder / 'chosen.json'} is damaged; {REDO}")
    return about


def space_of(about: dict[str, Any], given: str | Space | None) -> Space:
    """The space of a chosen network: a registered one, or the one that is given again."""
    if given is not None:
        space = own_space(given) if isinstance(given, str) else given
        if space.settings() != about["settings"]:
            raise ForetellError(
                f"space {space.name} has other choices than {about['space']} of the run; "
                "give the space of the run"
            )
        return space
    if about["space"] not in SPACES:
        raise ForetellError(
            f"the space of this run is your own, {about['space']}; "
            "give it again (--space FILE.py:NAME)"
        )
    return make_space(about["space"], about["settings"])
