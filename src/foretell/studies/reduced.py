"""Reduced training, what scores are compared with: fewer pixels, channels, samples and epochs.

EcoNAS, Zhou et al. 2020, arXiv:2001.01233; the two settings are those of arXiv:2101.08134.
"""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from foretell.data import Splits
from foretell.errors import ForetellError, did_you_mean
from foretell.executors.processes import Lost, completed
from foretell.progress import Tally
from foretell.runs.evaluate import Work, finite_or_null, made_with
from foretell.runs.store import Store
from foretell.runs.tasks import one_thread
from foretell.spaces import Arch, Space
from foretell.training.reduced import REDUCED, reduced_space, reduced_splits
from foretell.training.settings import TrainSettings
from foretell.training.train import Trained, train

__all__ = ["train_reduced"]


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
    tally: Tally,
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
    for arch in dict.fromkeys(archs):
        if arch not in tasks:
            tally.add("train", space.format(arch), cached=True)
    for arch, trained in completed(executor, tasks, at_once):
        if isinstance(trained, Lost):
            trained = Trained(math.nan, math.nan, 0.0, (), trained.why)
        row = {"value": trained.val_accuracy, "why": trained.why, "seconds": trained.seconds}
        row |= {"minibatches": minibatches, "history": [e.val_accuracy for e in trained.history]}
        store.add({"key": key(arch), **finite_or_null(row), **made_with()})
        tally.add("train", space.format(arch))
