"""Answer the questions of a searcher from the store, or by computing scores and trainings."""

import hashlib
import math
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from foretell.errors import ForetellError
from foretell.executors.processes import Lost, completed
from foretell.files import os_errors_told
from foretell.progress import Tally
from foretell.proxies import PROXIES
from foretell.rankings import find_ranking, is_ranking, places, points
from foretell.runs.kept import UNFINISHED
from foretell.runs.rowlog import canonical
from foretell.runs.rows import Declared, Network, ReducedRow, ScoreRow, TrainRow, add, find
from foretell.runs.store import Store
from foretell.runs.tasks import ScoreTask, TrainTask, fill, loaded
from foretell.runs.work import Work
from foretell.scoring.score import Score
from foretell.searchers import Question
from foretell.spaces import Arch
from foretell.training.train import Trained

__all__ = ["Evaluator"]

Row = TypeVar("Row", bound=Declared)
Task = ScoreTask | TrainTask
BLOCK = 10_000
"""The number of questions whose tasks are described at a time, which limits the memory."""


@dataclass(frozen=True, eq=False)
class Evaluator:
    """Computes each score and training once, and stores it as a row."""

    work: Work
    store: Store
    executor: Executor
    at_once: int
    tally: Tally
    refusals: bool = False
    """Whether a network that cannot be scored gets a row with the reason, as in a zoo; otherwise,
    the first such network ends the run."""
    reduced: str = ""
    """The name of the reduced training that `work` describes, if a study compares scores with it.
    The row of a training is then a ReducedRow, and the weights are not kept."""

    def answer(self, questions: list[Question]) -> list[float]:
        """The answer to each question: the score by `work.by` or the validation accuracy.

        Higher is better. If `work.by` is a ranking, the score of a network is its rank among the
        given networks, counted from the last.
        """
        self.compute(questions)
        if is_ranking(self.work.by) and all(question.kind == "score" for question in questions):
            return self._ranked([question.arch for question in questions])
        return [self._value(question) for question in questions]

    def compute(self, questions: list[Question]) -> None:
        """Compute missing results, several at a time, and store each as soon as it is available.

        Results that are available at the same time are committed together.
        """
        for start in range(0, len(questions), BLOCK):
            self._compute(questions[start : start + BLOCK])

    def _compute(self, questions: list[Question]) -> None:
        tasks: dict[Question, Task] = {}
        asked: Mapping[Question, Callable[[], Any]] = tasks
        for question in questions:
            if (task := self._task(question)) is not None:
                tasks[question] = task
            else:
                self._tick(question, cached=True)
        if self.refusals:
            asked = {question: Refusing(task) for question, task in tasks.items()}
        for question, result in completed(self.executor, asked, self.at_once, self.store.group):
            if isinstance(result, Lost):
                result = lost(tasks[question], result.why)
            if isinstance(result, dict):
                self._keep_scores(question.arch, result)
            else:
                self._keep_training(question.arch, *result)
            self._tick(question, cached=False)

    def scores(self, arch: Arch) -> dict[str, Score]:
        """The stored score of each proxy."""
        names = [proxy.name for proxy in self.work.plan.proxies]
        return {name: self._stored(self._score_row(arch, name)).score for name in names}

    def training(self, arch: Arch) -> Trained:
        """The stored training."""
        return self._stored(self._train_row(arch)).trained

    def training_key(self, arch: Arch) -> str:
        """The key of the row of a training, as canonical JSON."""
        return canonical(self._training_row(arch).key())

    def network(self, arch: Arch) -> Network:
        """The description of the untrained network that row keys contain."""
        return self._described(arch)

    def weights(self, arch: Arch) -> tuple[bytes, Trained]:
        """The weights of a trained network as written by `torch.save`, and its training.

        If their file is missing or damaged, the network is trained again, with a line in
        `store.notice`. Raises ForetellError if that fails.
        """
        name = self._weights_name(arch)
        try:
            content = self.store.kept(name)
            fill(self.work.space.build(arch, self.work.seed), content)
        except FileNotFoundError:
            state = "is missing"
        except Exception:  # torch may raise anything for a damaged file
            state = "is damaged"
        else:
            return content, self.training(arch)
        (_, result), *_ = completed(self.executor, {arch: self._train_task(arch)}, 1)
        trained, content = untrained(result.why) if isinstance(result, Lost) else result
        path = self.store.folder / name
        if not trained.history:
            raise ForetellError(
                f"{path} {state}, and the network cannot be trained again: {trained.why}"
            )
        self.store.keep(name, content)
        self._checkpoint(arch).unlink(missing_ok=True)
        self.store.tell(f"{path} {state}; the network has been trained again")
        return content, trained

    def _weights_name(self, arch: Arch) -> str:
        """The name of the file in the run folder with the trained weights of the architecture."""
        key = canonical(self._train_row(arch).key())
        return f"networks/{hashlib.sha256(key.encode()).hexdigest()[:16]}.pt"

    def _checkpoint(self, arch: Arch) -> Path:
        """The checkpoint from which a stopped training of the architecture resumes."""
        weights = self.store.folder / self._weights_name(arch)
        return weights.with_name(f"{weights.stem}{UNFINISHED}")

    @cached_property
    def _described(self) -> Callable[[Arch], Network]:
        space, settings, seed = self.work.space, self._settings, self.work.seed
        return lru_cache(BLOCK)(lambda a: Network(space.name, settings, space.format(a), seed))

    @cached_property
    def _settings(self) -> dict[str, Any]:
        return self.work.space.settings()

    @cached_property
    def _batch(self) -> str:
        return self.work.batch.fingerprint

    @cached_property
    def _data(self) -> dict[str, str]:
        splits = loaded(self.work.data)
        return {"name": splits.name, "fingerprint": splits.fingerprint}

    def _value(self, question: Question) -> float:
        if question.kind == "train":
            return self.training(question.arch).val_accuracy
        by = self.work.by
        score = self._stored(self._score_row(question.arch, by)).score
        return score.value if PROXIES[by].higher_is_better else -score.value

    def _ranked(self, archs: list[Arch]) -> list[float]:
        rows = [{n: one.value for n, one in self.scores(arch).items()} for arch in archs]
        table = pd.DataFrame(rows)
        ranking = find_ranking(self.work.by, self.work.plan.names)
        undefined = points(ranking, table).isna()
        return (-places(ranking, table).astype(float)).mask(undefined).tolist()

    def _task(self, question: Question) -> Task | None:
        """The task that computes the missing results of a question; None if nothing is missing."""
        missing = self._missing_training if question.kind == "train" else self._missing_scores
        return missing(question.arch)

    def _missing_training(self, arch: Arch) -> TrainTask | None:
        if self._training_row(arch).key() not in self.store:
            return self._train_task(arch)
        if not self.reduced:
            self._checkpoint(arch).unlink(missing_ok=True)  # left by a killed process
        return None

    def _train_task(self, arch: Arch) -> TrainTask:
        work = self.work
        checkpoint = None if self.reduced else self._checkpoint(arch)
        if checkpoint is not None:
            with os_errors_told(checkpoint.parent):
                checkpoint.parent.mkdir(exist_ok=True)
        return work.training_of(arch, checkpoint)

    def _missing_scores(self, arch: Arch) -> ScoreTask | None:
        missing = {
            name: settings
            for name, settings in self.work.every_proxy.items()
            if self._score_row(arch, name).key() not in self.store
        }
        return self.work.scoring_of(arch, missing) if missing else None

    def _keep_scores(self, arch: Arch, scores: Mapping[str, Score]) -> None:
        for proxy, score in scores.items():
            add(self.store, replace(self._score_row(arch, proxy), score=score))

    def _keep_training(self, arch: Arch, trained: Trained, weights: bytes) -> None:
        """Store a training: first the weights, then the row, which implies that they exist."""
        if self.reduced:
            add(self.store, reduced_row(self._reduced_row(arch), trained, self._minibatches))
            return
        self.store.keep(self._weights_name(arch), weights)
        add(self.store, replace(self._train_row(arch), trained=trained))
        self._checkpoint(arch).unlink(missing_ok=True)

    def _tick(self, question: Question, *, cached: bool) -> None:
        """Count an answer; the scores of a network are counted only once."""
        network = self.network(question.arch)
        if question.kind == "score":
            self.tally.add_once((network.arch, network.seed), "score", network.arch, cached=cached)
        else:
            self.tally.add(question.kind, network.arch, cached=cached)

    def _stored(self, asked: Row) -> Row:
        if (row := find(self.store, asked)) is None:  # since it was damaged after it was computed
            raise ForetellError(f"{self.store.folder} has lost a row; resume the run")
        return row

    def _score_row(self, arch: Arch, proxy: str) -> ScoreRow:
        settings = dict(PROXIES[proxy].settings) | dict(self.work.plan.settings.get(proxy, {}))
        work, network = self.work, self.network(arch)
        if (space := work.scored_space(proxy)) is not work.space:
            network = replace(network, settings=space.settings())
        code = work.code.of_score(proxy, work.scoring.loss, work.space, arch)
        return ScoreRow(network, proxy, settings, self._batch, work.score_key, code=code)

    def _training_row(self, arch: Arch) -> TrainRow | ReducedRow:
        return self._reduced_row(arch) if self.reduced else self._train_row(arch)

    def _train_row(self, arch: Arch) -> TrainRow:
        work = self.work
        code = work.code.of_network(work.space, arch)
        how = (self._data, work.training.key(), work.device_key)
        return TrainRow(self.network(arch), *how, code=code)

    def _reduced_row(self, arch: Arch) -> ReducedRow:
        work, data = self.work, self._data["fingerprint"]
        how = (data, work.training.key(), work.device_key)
        code = work.code.of_network(work.space, arch)
        return ReducedRow(self.network(arch), self.reduced, *how, code=code)

    @cached_property
    def _minibatches(self) -> int:
        """The number of minibatches that a training processes."""
        training = self.work.training
        samples = len(loaded(self.work.data).train[1])
        return -(-samples // training.batch_size) * (training.stop_after or training.epochs)


@dataclass(frozen=True)
class Refusing:
    """Wraps a task: if its network cannot be computed, the result is the reason."""

    task: Task

    def __call__(self) -> Any:
        """The result of the task, or `Lost` with the reason."""
        try:
            return self.task()
        except ForetellError as error:
            return Lost(str(error))


def lost(task: Task, why: str) -> Any:
    """The undefined result of a task that could not be computed, with the reason."""
    if isinstance(task, TrainTask):
        return untrained(why)
    names = (address.rpartition(":")[2] for address in task.proxies)
    return dict.fromkeys(names, Score(math.nan, 0.0, why))


def untrained(why: str) -> tuple[Trained, bytes]:
    """The undefined result of a training that could not be computed, with the reason."""
    return Trained(math.nan, math.nan, 0.0, (), why), b""


def reduced_row(asked: ReducedRow, trained: Trained, minibatches: int) -> ReducedRow:
    """The finished row of a reduced training."""
    return replace(
        asked,
        value=trained.val_accuracy,
        why=trained.why,
        seconds=trained.seconds,
        minibatches=minibatches,
        history=tuple(epoch.val_accuracy for epoch in trained.history),
    )
