"""Training a network for real: the answer that proxies try to foretell.

A short, plain recipe: cross entropy, SGD with momentum or AdamW, a learning rate that falls along
a cosine to zero. Validation accuracy is for choosing; test accuracy is computed once, at the end,
and nothing here depends on it.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import nn

from foretell.data.splits import Splits
from foretell.errors import ForetellError
from foretell.isolate import derived_seed, own_randomness

__all__ = ["Epoch", "TrainSettings", "Trained", "train"]

Augmentation = Literal["none", "shift"]
Optimizer = Literal["sgd", "adamw"]

EVALUATION_BATCH = 2048
"""Images evaluated at once; the value changes the memory taken, not the result."""


@dataclass(frozen=True)
class TrainSettings:
    """How a network is trained. Raises ForetellError for a value that makes no sense.

    An epoch is cut into the fewest batches of at most `batch_size` images, equal in size to
    within one. `shift` moves each image by up to a pixel each way, repeating its border.
    Momentum is for SGD alone.
    """

    epochs: int = 10
    batch_size: int = 64
    lr: float = 0.1
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    augmentation: Augmentation = "none"
    optimizer: Optimizer = "sgd"

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise ForetellError(f"{name} is {value!r}; give an integer of at least 1")
        for name, allowed in (("augmentation", Augmentation), ("optimizer", Optimizer)):
            if (given := getattr(self, name)) not in get_args(allowed):
                known = " or ".join(get_args(allowed))
                raise ForetellError(f"{name} is {given!r}; give {known}")
        if not 0 < self.lr < math.inf:
            raise ForetellError(f"lr is {self.lr!r}; give a learning rate above 0")
        if not 0 <= self.momentum < 1:
            raise ForetellError(f"momentum is {self.momentum!r}; give a number from 0 to below 1")
        if self.nesterov and self.momentum == 0:
            raise ForetellError("nesterov needs momentum and momentum is 0; set nesterov to False")
        if not 0 <= self.weight_decay < math.inf:
            raise ForetellError(f"weight_decay is {self.weight_decay!r}; give 0 or more")


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training images gave."""

    number: int  # from 1
    train_loss: float  # mean over its batches, taken while the weights moved
    val_accuracy: float  # %


@dataclass(frozen=True)
class Trained:
    """What came of a training. Where it diverged the accuracies are nan and `why` says how."""

    val_accuracy: float  # %, after the last epoch
    test_accuracy: float  # %, after the last epoch
    seconds: float
    history: tuple[Epoch, ...]
    why: str | None = None

    @property
    def epochs(self) -> int:
        """How many were begun: all, unless it diverged."""
        return len(self.history)


def train(
    model: nn.Module,
    splits: Splits,
    settings: TrainSettings,
    seed: int,
    device: torch.device | str = "cpu",
    progress: Callable[[Epoch], None] | None = None,
) -> Trained:
    """Train `model` in place and measure it; it stays on `device`, in evaluation mode.

    `progress` is called after every epoch. Shuffling, augmentation and what the model draws itself
    (dropout) follow from `seed` alone; the global generators come back as they were. On one
    machine with one number of threads, equal models and seeds give equal accuracies.

    Raises ForetellError if the model does not take the images or has not one output a class.
    """
    start = time.perf_counter()
    device = torch.device(device)
    model.to(device)
    _check(model, splits, device)
    _lay_out(model, torch.channels_last)
    history: list[Epoch] = []
    val, test, why = math.nan, math.nan, None
    try:
        for epoch in _epochs(model, splits, settings, seed, device):
            history.append(epoch)
            if progress is not None:
                progress(epoch)
        test = _accuracy(model, _to(splits.test, device))
        val = history[-1].val_accuracy
    except Undefined as undefined:
        why = f"{undefined} in epoch {min(len(history) + 1, settings.epochs)} of {settings.epochs}"
    _lay_out(model, torch.contiguous_format)
    return Trained(val, test, time.perf_counter() - start, tuple(history), why)


def _epochs(
    model: nn.Module, splits: Splits, settings: TrainSettings, seed: int, device: torch.device
) -> Iterator[Epoch]:
    """Train for one epoch each time the next is wanted. Raises Undefined where it diverges."""
    training, validation = _to(splits.train, device), _to(splits.val, device)
    optimizer = _optimizer(model, settings)
    shuffling = torch.Generator().manual_seed(derived_seed(seed, "shuffle"))
    shifting = torch.Generator().manual_seed(derived_seed(seed, "shift"))
    rates = _cosine(settings, len(splits.train[1]))
    for number in range(1, settings.epochs + 1):
        model.train()
        losses = []
        with own_randomness(derived_seed(seed, "dropout", number), device):
            for images, labels in _batches(training, settings.batch_size, shuffling):
                if settings.augmentation == "shift":
                    images = _shifted(images, shifting)
                loss = F.cross_entropy(main_output(model(images)), labels)
                loss.backward()  # type: ignore[no-untyped-call]
                for group in optimizer.param_groups:
                    group["lr"] = next(rates)
                optimizer.step()
                optimizer.zero_grad()
                losses.append(loss.detach())
        mean = torch.stack(losses).mean().item()
        if not math.isfinite(mean):
            raise Undefined(f"the training loss became {mean}")
        yield Epoch(number, mean, _accuracy(model, validation))
