"""Reduced training, what scores are compared with: fewer pixels, channels, samples and epochs.

EcoNAS, Zhou et al. 2020, arXiv:2001.01233; the two settings are those of arXiv:2101.08134.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from foretell.data import Splits
from foretell.data.splits import Part
from foretell.errors import ForetellError, did_you_mean
from foretell.runs.evaluate import Tick, Work, finite_or_null, made_with
from foretell.runs.store import Store
from foretell.runs.tasks import one_thread
from foretell.runs.workers import Lost, completed
from foretell.searchers import Question
from foretell.spaces import Arch, Space, make_space
from foretell.training import Trained, TrainSettings, train

__all__ = ["REDUCED", "Reduced", "reduced_splits", "train_reduced"]


@dataclass(frozen=True)
class Reduced:
    """What is left of a full training along EcoNAS's four axes: r, c, s, e."""

    resolution: int
    """Pixels of an image's side."""
    channels: int
    """Of the network's first stage."""
    samples: float
    """The share of the training samples."""
    training: TrainSettings
    """Its `stop_after` epochs of a schedule of `epochs`."""


def schedule(stop: int) -> TrainSettings:
    """So many epochs of forty, by SGD with Nesterov momentum and a cosine."""
    return TrainSettings(epochs=40, stop_after=stop, lr=0.1, augmentation="shift")


REDUCED: Mapping[str, Reduced] = {
    "econas": Reduced(8, 4, 1.0, schedule(20)),
    "econas+": Reduced(16, 8, 1.0, schedule(15)),
}
"""By name. The paper's batch of 2,048 images is 64 here, for samples of a thousand images."""


@dataclass(frozen=True, eq=False)
class ReducedTask:
    """Train one network of the reduced space on the reduced samples."""

    space: Space
    arch: Arch
    splits: Splits
    training: TrainSettings
    seed: int
    device: str

    def __call__(self) -> Trained:
        """What came of it; the weights are let go."""
        with one_thread():
            model = self.space.build(self.arch, self.seed)
            return train(model, self.splits, self.training, self.seed, self.device)


def train_reduced(
    name: str,
    work: Work,
    archs: Sequence[Arch],
    splits: Splits,
    store: Store,
    executor: Executor,
    at_once: int,
    progress: Callable[[Tick], object],
) -> None:
    """Train what is missing, and store a row for each: its validation accuracy and its cost.

    `work` says of which space, by which seed and on which device.

    Raises ForetellError for an unknown name, or a space without the settings to reduce.
    """
    if name not in REDUCED:
        raise ForetellError(
            f"no reduced training is called {name!r}; {did_you_mean(name, REDUCED)}"
        )
    by, space, seed = REDUCED[name], work.space, work.seed
    small = reduced_space(space, by)
    few = reduced_splits(splits, by)
    settings = by.training.key()
    steps = -(-len(few.train[1]) // by.training.batch_size)
    minibatches = steps * (by.training.stop_after or by.training.epochs)

    def key(arch: Arch) -> dict[str, Any]:
        return {
            "kind": "reduced",
            "reduced": name,
            "space": small.name,
            "settings": small.settings(),
            "arch": space.format(arch),
            "seed": seed,
            "data": few.fingerprint,
            "training": settings,
            **work.device_key,
        }

    tasks: dict[Arch, Callable[[], Any]] = {
        arch: ReducedTask(small, arch, few, by.training, seed, work.device)
        for arch in dict.fromkeys(archs)
        if key(arch) not in store
    }
    for arch, trained in completed(executor, tasks, at_once):
        if isinstance(trained, Lost):
            trained = Trained(math.nan, math.nan, 0.0, (), trained.why)
        row = {"value": trained.val_accuracy, "why": trained.why, "seconds": trained.seconds}
        row |= {"minibatches": minibatches, "history": [e.val_accuracy for e in trained.history]}
        store.add({"key": key(arch), **finite_or_null(row), **made_with()})
        progress(Tick(Question(arch, "train"), space.format(arch), from_store=False))


def reduced_space(space: Space, by: Reduced) -> Space:
    """The space with fewer channels, for fewer pixels."""
    settings = space.settings()
    if "channels" not in settings or "resolution" not in settings:
        raise ForetellError(f"space {space.name} has no channels and resolution to reduce")
    return make_space(
        space.name, {**settings, "channels": by.channels, "resolution": by.resolution}
    )


def reduced_splits(splits: Splits, by: Reduced) -> Splits:
    """The images in fewer pixels, and the first share of those to train on.

    >>> from foretell.data import load_data
    >>> few = reduced_splits(load_data("digits"), Reduced(4, 4, 0.5, TrainSettings()))
    >>> few.train[0].shape
    torch.Size([548, 1, 4, 4])
    """
    count = max(1, round(by.samples * len(splits.train[1])))
    train_part = (splits.train[0][:count], splits.train[1][:count])
    small = [smaller(part, by.resolution) for part in (train_part, splits.val, splits.test)]
    name = f"{splits.name} at {by.resolution} pixels"
    return replace(splits, name=name, train=small[0], val=small[1], test=small[2])


def smaller(part: Part, side: int) -> Part:
    """The images with `side` pixels in height and width."""
    images: Tensor = part[0][torch.arange(len(part[1]))]
    return F.interpolate(images, [side, side], mode="bilinear", antialias=True), part[1]
