"""A piece of work that any process can do: score one architecture, or train it.

A task carries all that its result depends on, and computes on one thread, so its result has the
same bits in whichever process it runs, and beside however many others.
"""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from foretell.batch import Batch
from foretell.data import Splits, load_data, minibatch
from foretell.scoring.score import Score, score
from foretell.scoring.settings import ScoreSettings
from foretell.spaces import Arch, Fits, Space
from foretell.training.settings import TrainSettings
from foretell.training.train import Trained, train

__all__ = ["Data", "ScoreTask", "TrainTask", "fill", "loaded", "weights_of"]

Data = str | Splits
"""Data by name, which each process loads for itself, or the images themselves."""


@dataclass(frozen=True)
class ScoreTask:
    """Score an untrained network on a minibatch of the training images."""

    space: Space
    arch: Arch
    data: Data
    batch_size: int
    proxies: Mapping[str, Mapping[str, Any]]
    seed: int
    device: str
    scoring: ScoreSettings = field(default_factory=ScoreSettings)

    def __call__(self) -> dict[str, Score]:
        """The scores by proxy."""
        with one_thread():
            batch = Batch(*minibatch(loaded(self.data).train, self.batch_size, self.seed))
            fed = self.space.fit(self.arch, batch) if isinstance(self.space, Fits) else batch
            return score(built(self), fed, self.proxies, seed=self.seed, scoring=self.scoring)


@dataclass(frozen=True)
class TrainTask:
    """Train a network and measure it."""

    space: Space
    arch: Arch
    data: Data
    training: TrainSettings
    seed: int
    device: str
    checkpoint: Path | None = None
    """Where a stopped training goes on from; unused on a machine without that folder."""

    def __call__(self) -> tuple[Trained, bytes]:
        """What came of it, and the trained weights: a state_dict as `torch.save` writes it.

        The checkpoint is left to whoever writes the weights down.
        """
        kept = self.checkpoint if self.checkpoint and self.checkpoint.parent.is_dir() else None
        with one_thread():
            model, data = built(self), loaded(self.data)
            trained = train(
                model,
                data,
                self.training,
                self.seed,
                self.device,
                checkpoint=kept,
                keep_checkpoint=True,
            )
        return trained, weights_of(model)


def weights_of(model: nn.Module) -> bytes:
    """Its state_dict, on the CPU, as `torch.save` writes it."""
    content = io.BytesIO()
    torch.save({name: tensor.cpu() for name, tensor in model.state_dict().items()}, content)
    return content.getvalue()


def fill(model: nn.Module, weights: bytes) -> None:
    """Load a state_dict that `torch.save` wrote; nothing in it is executed.

    Raises whatever torch does where it is none, or one of another network.
    """
    model.load_state_dict(torch.load(io.BytesIO(weights), weights_only=True, map_location="cpu"))


def built(task: ScoreTask | TrainTask) -> nn.Module:
    """The task's untrained network on its device."""
    return task.space.build(task.arch, task.seed).to(task.device)


def loaded(data: Data) -> Splits:
    """The data, loaded once a process."""
    return by_name(data) if isinstance(data, str) else data


@lru_cache(maxsize=2)
def by_name(name: str) -> Splits:
    """The data set of that name."""
    return load_data(name)


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread; two threads would add in another order, and wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
