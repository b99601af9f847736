"""Tasks that any process can run: score one architecture, or train it.

A task contains everything that its result depends on, and computes on one thread, so its result has
the same bits in any process, however many others run at the same time.
"""

import io
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from foretell.batch import Batch
from foretell.checks import as_text
from foretell.data import Splits, load_data, minibatch
from foretell.engine.caller import kept_settings
from foretell.engine.plan import Plan, make_plan
from foretell.errors import ForetellError, any_error, complaint_of
from foretell.scoring.forms import of_sizes
from foretell.scoring.score import Score, score
from foretell.scoring.settings import ScoreSettings
from foretell.spaces import Arch, Fits, Space
from foretell.training.own import OwnTraining
from foretell.training.settings import TrainSettings
from foretell.training.train import Trained, check_trainable, train

__all__ = [
    "Data",
    "ScoreTask",
    "TrainTask",
    "Trial",
    "Trials",
    "fill",
    "fit_of",
    "loaded",
    "weights_of",
]

Data = str | Splits
"""A data set, or its name, in which case each process loads it."""


@dataclass(frozen=True)
class ScoreTask:
    """Score an untrained network on a minibatch of the training data."""

    space: Space
    arch: Arch
    data: Data
    batch_size: int
    proxies: Mapping[str, Mapping[str, Any]]
    seed: int
    device: str
    scoring: ScoreSettings = field(default_factory=ScoreSettings)
    reduced: Space | None = None
    """The reduced form of the space, in which all scores but the sizes are computed, if any."""

    def __call__(self) -> dict[str, Score]:
        """The scores by proxy."""
        with one_thread(), kept_settings():
            batch = Batch(*minibatch(loaded(self.data).train, self.batch_size, self.seed))
            plan = make_plan(self.proxies)
            scores: dict[str, Score] = {}
            for task in self._forms(plan):
                model, fed = built(task), fitted(task, batch)
                scores |= score(model, fed, task.proxies, seed=task.seed, scoring=task.scoring)
            return {name: scores[name] for name in plan.names}

    def _forms(self, plan: Plan) -> "list[ScoreTask]":
        """This task, or the tasks for the reduced form and for the sizes."""
        if self.reduced is None:
            return [self]
        parts = {False: self.reduced, True: self.space}
        each = [
            replace(self, space=space, proxies=of_sizes(plan, sizes))
            for sizes, space in parts.items()
        ]
        return [task for task in each if task.proxies]


@dataclass(frozen=True)
class TrainTask:
    """Train a network and measure its accuracies."""

    space: Space
    arch: Arch
    data: Data
    training: TrainSettings
    seed: int
    device: str
    checkpoint: Path | None = None
    """The checkpoint from which a training resumes; it is ignored on a machine without its
    folder."""

    def __call__(self) -> tuple[Trained, bytes]:
        """The results of the training, and the weights: a state_dict as written by `torch.save`.

        The caller must delete the checkpoint after storing the weights.
        """
        if isinstance(self.training, OwnTraining):
            with kept_settings():
                return self._own(self.training)
        kept = self.checkpoint if self.checkpoint and self.checkpoint.parent.is_dir() else None
        with one_thread(), kept_settings():
            model, data = built(self), loaded(self.data)
            trained = train(
                model,
                data,
                self.training,
                self.seed,
                self.device,
                checkpoint=kept,
                keep_checkpoint=True,
                fit=fit_of(self.space, self.arch),
            )
        return trained, weights_of(model)

    def _own(self, training: OwnTraining) -> tuple[Trained, bytes]:
        """The same for the user's own training.

        The weights are those of the network that was passed to it. If it changed more than the
        weights of this network, they are those of the untrained network.
        """
        model = built(self)
        trained = training.run(model, self.space.format(self.arch), self.seed)
        weights, untrained = weights_of(model), built(self)
        try:
            fill(untrained, weights)
        except Exception:  # PyTorch may raise any exception for another network
            weights = weights_of(built(self))
        return trained, weights


@dataclass(frozen=True)
class Trial:
    """Scores one network and checks that it can be trained, so that errors occur before the run."""

    score: ScoreTask
    trainings: tuple[TrainTask, ...] = ()

    def __call__(self) -> None:
        """Raise the ForetellError that the tasks would raise, if any."""
        self.score()
        with one_thread(), kept_settings():
            for task in self.trainings:
                if isinstance(task.training, OwnTraining):
                    continue
                how = (task.training, task.seed, task.device, fit_of(task.space, task.arch))
                check_trainable(built(task), loaded(task.data), *how)


@dataclass(frozen=True)
class Trials:
    """Trials of several networks, of which only one must succeed."""

    trials: tuple[Trial, ...]

    def __call__(self) -> None:
        """Raise ForetellError with the reason of the first one if all fail."""
        errors: list[ForetellError] = []
        for trial in self.trials:
            try:
                return trial()
            except ForetellError as error:
                errors.append(error)
        if len(errors) == 1:
            raise errors[0]
        raise ForetellError(
            f"none of the {len(errors)} candidates can be scored and trained; the reason for the "
            f"first is: {errors[0]}"
        )


def fit_of(space: Space, arch: Arch) -> Callable[[Batch], Batch] | None:
    """The function that converts a minibatch to the form that a network requires, if any."""
    return partial(space.fit, arch) if isinstance(space, Fits) else None


def weights_of(model: nn.Module) -> bytes:
    """The state_dict of a model, on the CPU, as written by `torch.save`."""
    content = io.BytesIO()
    torch.save({name: tensor.cpu() for name, tensor in model.state_dict().items()}, content)
    return content.getvalue()


def fill(model: nn.Module, weights: bytes) -> None:
    """Load a state_dict written by `torch.save`, without executing anything in it.

    Raises BadZipFile if a checksum in the archive is wrong, and any exception of torch if the
    content is not a state_dict of this network.
    """
    with zipfile.ZipFile(io.BytesIO(weights)) as archive:  # torch does not verify the checksums
        if name := archive.testzip():
            raise zipfile.BadZipFile(f"{name} is damaged")
    model.load_state_dict(torch.load(io.BytesIO(weights), weights_only=True, map_location="cpu"))


def built(task: ScoreTask | TrainTask) -> nn.Module:
    """The task's untrained network on its device. Raises ForetellError if it cannot be built."""
    try:
        return task.space.build(task.arch, task.seed).to(task.device)
    except ForetellError:
        raise
    except any_error() as error:
        raise failed(task, "the network cannot be built", error) from error


def fitted(task: ScoreTask, batch: Batch) -> Batch:
    """The batch in the form that the task's network requires. Raises ForetellError like `built`."""
    try:
        return task.space.fit(task.arch, batch) if isinstance(task.space, Fits) else batch
    except ForetellError:
        raise
    except any_error() as error:
        raise failed(task, "the batch cannot be fitted to it", error) from error


def failed(task: ScoreTask | TrainTask, what: str, error: BaseException) -> ForetellError:
    """The ForetellError for an exception in a space's code."""
    arch = task.space.format(task.arch)
    return ForetellError(f"{arch} of space {task.space.name}: {what} ({complaint_of(error)})")


def loaded(data: Data) -> Splits:
    """The data, loaded once per process. Raises ForetellError if they cannot be loaded."""
    if isinstance(data, Splits):
        return data
    return by_name(as_text("data", data, "the name of a data set, or Splits"))


@lru_cache(maxsize=2)
def by_name(name: str) -> Splits:
    """Load the data set of this name, once per process."""
    return load_data(name)


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread within the block; several would sum in another order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
