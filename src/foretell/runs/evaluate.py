"""Answer a searcher's questions from the store, or by having scores and trainings computed."""

import hashlib
import math
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from foretell.batch import Batch
from foretell.data import minibatch
from foretell.engine.plan import Plan
from foretell.errors import ForetellError
from foretell.executors.processes import Lost, completed, require_picklable
from foretell.files import os_errors_told, write_atomically
from foretell.losses import loss_name
from foretell.progress import Tally
from foretell.proxies import PROXIES
from foretell.runs.rowlog import canonical
from foretell.runs.store import Store
from foretell.runs.tasks import Data, ScoreTask, TrainTask, loaded
from foretell.scoring.score import Score
from foretell.scoring.settings import ScoreSettings
from foretell.searchers import Question
from foretell.spaces import Arch, Space
from foretell.training.settings import TrainSettings
from foretell.training.train import Trained
from foretell.version import __version__

__all__ = ["Evaluator", "Work"]

Row = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Work:
    """What is to be computed, all but the architecture."""

    space: Space
    data: Data
    plan: Plan
    by: str
    batch_size: int
    training: TrainSettings
    seed: int
    device: str
    scoring: ScoreSettings = field(default_factory=ScoreSettings)

    @cached_property
    def device_key(self) -> dict[str, str]:
        """What a training's key says of a GPU, whose last digits differ; nothing of the CPU."""
        kind = torch.device(self.device).type
        return {} if kind == "cpu" else {"device": kind}

    @cached_property
    def score_key(self) -> dict[str, Any]:
        """What a score's key says of how it is computed."""
        return self.scoring.key(self.device)

    @property
    def unusual_scoring(self) -> dict[str, Any]:
        """The part of `score_key` that is not the default, for the run's configuration."""
        usual = ScoreSettings().key("cpu")
        return {name: value for name, value in self.score_key.items() if usual.get(name) != value}

    def require_picklable(self) -> None:
        """Raise ForetellError unless other processes can be given what the user defined."""
        require_picklable(f"the loss {loss_name(self.scoring.loss)}", self.scoring.loss)
        require_picklable(f"the space {self.space.name}", self.space)

    @property
    def batch(self) -> Batch:
        """The minibatch that all networks are scored on."""
        return Batch(*minibatch(loaded(self.data).train, self.batch_size, self.seed))


@dataclass(frozen=True, eq=False)
class Evaluator:
    """Has each thing computed once, and keeps it as a row."""

    work: Work
    store: Store
    executor: Executor
    at_once: int
    tally: Tally
    refusals: bool = False
    """Whether a network that cannot be scored gets a row that says why, as in a zoo; where the
    networks are of one space, the first one ends the run."""

    @cached_property
    def _batch(self) -> str:
        return self.work.batch.fingerprint

    @cached_property
    def _data(self) -> dict[str, str]:
        splits = loaded(self.work.data)
        return {"name": splits.name, "fingerprint": splits.fingerprint}

    def answer(self, questions: list[Question]) -> list[float]:
        """For each question the score by `work.by` or the validation accuracy; higher is better."""
        self.compute(questions)
        return [self._told(question) for question in questions]

    def compute(self, questions: list[Question]) -> None:
        """Have computed what is missing, several at once, and store each as soon as it is there."""
        tasks: dict[Question, ScoreTask | TrainTask] = {}
        asked: Mapping[Question, Callable[[], Any]] = tasks
        for question in questions:
            if (task := self._task(question)) is not None:
                tasks[question] = task
            else:
                self._tick(question, cached=True)
        if self.refusals:
            asked = {question: Refusing(task) for question, task in tasks.items()}
        for question, result in completed(self.executor, asked, self.at_once):
            if isinstance(result, Lost):
                result = lost(tasks[question], result.why)
            self._keep(question.arch, result)
            self._tick(question, cached=False)

    def scores(self, arch: Arch) -> dict[str, Row]:
        """The stored row of each proxy."""
        return {p.name: self._row(self._score_key(arch, p.name)) for p in self.work.plan.proxies}

    def training(self, arch: Arch) -> Row:
        """The stored row of the training."""
        return self._row(self._train_key(arch))

    def weights_file(self, arch: Arch) -> Path:
        """Where the trained weights of this architecture are kept."""
        name = hashlib.sha256(canonical(self._train_key(arch)).encode()).hexdigest()[:16]
        return self.store.folder / "networks" / f"{name}.pt"

    def _checkpoint(self, arch: Arch) -> Path:
        """Where a stopped training of this architecture goes on from."""
        weights = self.weights_file(arch)
        return weights.with_name(f"{weights.stem}.unfinished.pt")

    def network(self, arch: Arch) -> dict[str, Any]:
        """What rebuilds the untrained network."""
        if arch not in self._texts:
            self._texts[arch] = self.work.space.format(arch)
        return {**self._space, "arch": self._texts[arch], "seed": self.work.seed}

    @cached_property
    def _space(self) -> dict[str, Any]:
        return {"space": self.work.space.name, "settings": self.work.space.settings()}

    @cached_property
    def _texts(self) -> dict[Arch, str]:
        return {}

    def _told(self, question: Question) -> float:
        if question.kind == "train":
            value, sign = self.training(question.arch)["val_accuracy"], 1
        else:
            value = self._row(self._score_key(question.arch, self.work.by))["value"]
            sign = 1 if PROXIES[self.work.by].higher_is_better else -1
        return math.nan if value is None else sign * float(value)

    def _task(self, question: Question) -> ScoreTask | TrainTask | None:
        """What has to be computed for an answer; None if it is all there."""
        work, arch = self.work, question.arch
        if question.kind == "train":
            checkpoint = self._checkpoint(arch)
            if self._train_key(arch) in self.store:
                checkpoint.unlink(missing_ok=True)  # a kill may have come before
                return None
            with os_errors_told(checkpoint.parent):
                checkpoint.parent.mkdir(exist_ok=True)
            return TrainTask(
                work.space,
                arch,
                work.data,
                work.training,
                work.seed,
                work.device,
                checkpoint,
            )
        missing = {
            proxy.name: work.plan.settings.get(proxy.name, {})
            for proxy in work.plan.proxies
            if self._score_key(arch, proxy.name) not in self.store
        }
        if not missing:
            return None
        return ScoreTask(
            work.space,
            arch,
            work.data,
            work.batch_size,
            missing,
            work.seed,
            work.device,
            work.scoring,
        )

    def _keep(self, arch: Arch, result: Any) -> None:
        """Write the rows of a finished task; the weights before the row that promises them."""
        if isinstance(result, dict):
            for proxy, one in result.items():
                self.store.add({"key": self._score_key(arch, proxy), **score_values(one)})
            return
        trained, weights = result
        write_atomically(self.weights_file(arch), weights)
        self.store.add({"key": self._train_key(arch), **training_values(trained)})
        self._checkpoint(arch).unlink(missing_ok=True)

    def _tick(self, question: Question, *, cached: bool) -> None:
        self.tally.add(question.kind, self.work.space.format(question.arch), cached=cached)

    def _row(self, key: Row) -> Row:
        row = self.store.get(key)
        assert row is not None
        return row

    def _score_key(self, arch: Arch, proxy: str) -> dict[str, Any]:
        settings = dict(PROXIES[proxy].settings) | dict(self.work.plan.settings.get(proxy, {}))
        return {
            "kind": "score",
            "proxy": proxy,
            "proxy_settings": settings,
            **self.network(arch),
            "batch": self._batch,
            **self.work.score_key,
        }

    def _train_key(self, arch: Arch) -> dict[str, Any]:
        return {
            "kind": "train",
            **self.network(arch),
            "data": self._data,
            "training": self.work.training.key(),
            **self.work.device_key,
        }


@dataclass(frozen=True)
class Refusing:
    """A task whose network may be one that cannot be computed: then the reason is its result."""

    task: ScoreTask | TrainTask

    def __call__(self) -> Any:
        """What the task gives, or `Lost`."""
        try:
            return self.task()
        except ForetellError as error:
            return Lost(str(error))


def lost(task: ScoreTask | TrainTask, why: str) -> Any:
    """A result for a network that could not be computed: undefined, for this reason."""
    if isinstance(task, TrainTask):
        return Trained(math.nan, math.nan, 0.0, (), why), b""
    return dict.fromkeys(task.proxies, Score(math.nan, 0.0, why))


def score_values(score: Score) -> Row:
    """A score as the values of a row: an undefined one is null, its reason beside it."""
    value = None if math.isnan(score.value) else score.value
    return {"value": value, "why": score.why, "seconds": round(score.seconds, 6), **made_with()}


def training_values(trained: Trained) -> Row:
    """A training as the values of a row."""
    values: Row = finite_or_null(asdict(trained))
    return {**values, **made_with()}


def finite_or_null(value: Any) -> Any:
    """The same nest of dicts and sequences with null for nan and infinity.

    >>> finite_or_null({"accuracy": math.nan, "history": (1.0, math.inf)})
    {'accuracy': None, 'history': [1.0, None]}
    """
    if isinstance(value, Mapping):
        return {name: finite_or_null(item) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return [finite_or_null(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def made_with() -> Row:
    """The programs that made a row; not part of its key."""
    return {"made_with": f"foretell {__version__}, torch {torch.__version__}"}
