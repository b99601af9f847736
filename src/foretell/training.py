"""Training a network for real: the answer that proxies try to foretell.

A short, plain recipe: cross entropy, SGD with momentum or AdamW, a learning rate that falls along
a cosine to zero. Validation accuracy is for choosing; test accuracy is computed once, at the end,
and nothing here depends on it.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foretell.batch import Batch, main_output
from foretell.data.splits import Part, Split, Splits
from foretell.engine.isolate import call, derived_seed, mode, own_randomness
from foretell.errors import ForetellError, Undefined

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
    Momentum is for SGD alone. `stop_after` ends a training early on the schedule of `epochs`.
    """

    epochs: int = 10
    stop_after: int | None = None
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
        stop = self.stop_after
        if stop is not None and (type(stop) is not int or not 1 <= stop <= self.epochs):
            raise ForetellError(f"stop_after is {stop!r}; give an epoch from 1 to {self.epochs}")
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
    """What came of a training. An accuracy that is undefined is nan, and `why` says the reason."""

    val_accuracy: float  # %, after the last epoch
    test_accuracy: float  # %, after the last epoch
    seconds: float
    history: tuple[Epoch, ...]
    why: str | None = None

    @property
    def epochs(self) -> int:
        """How many were finished: all, unless it diverged."""
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
    (dropout) follow from `seed` alone; the global generators come back as they were. On one CPU
    with one number of threads, equal models and seeds give equal accuracies.

    Raises ForetellError if the model does not take the images or has not one output a class.
    """
    start = time.perf_counter()
    device = torch.device(device)
    model.to(device)
    _check(model, splits, device, seed)
    _lay_out(model, torch.channels_last)
    history: list[Epoch] = []
    val, test, why = math.nan, math.nan, None
    try:
        for epoch in _epochs(model, splits, settings, seed, device):
            history.append(epoch)
            if progress is not None:
                progress(epoch)
        val = history[-1].val_accuracy
        test = _accuracy(model, _at(splits.test, device), "test images", seed)
    except Undefined as undefined:
        why = str(undefined)
    model.eval()
    _lay_out(model, torch.contiguous_format)
    return Trained(val, test, time.perf_counter() - start, tuple(history), why)


def _epochs(
    model: nn.Module, splits: Splits, settings: TrainSettings, seed: int, device: torch.device
) -> Iterator[Epoch]:
    """Train for another epoch each time one is wanted. Raises Undefined where it diverges."""
    training, validation = _at(splits.train, device), _at(splits.val, device)
    steps = math.ceil(len(training[1]) / settings.batch_size)
    optimizer = _optimizer(model, settings)
    shuffling = torch.Generator().manual_seed(derived_seed(seed, "shuffle"))
    shifting = torch.Generator().manual_seed(derived_seed(seed, "shift"))
    for number in range(1, (settings.stop_after or settings.epochs) + 1):
        batches = _batches(training, steps, shuffling)
        if settings.augmentation == "shift":
            batches = ((_shifted(images, shifting), labels) for images, labels in batches)
        rates = _cosine(settings, steps, number)
        with own_randomness(derived_seed(seed, "model", number), device):
            loss = _one_pass(model, optimizer, batches, rates)
        if not math.isfinite(loss):
            raise Undefined(
                f"the training loss became {loss} in epoch {number} of {settings.epochs}"
            )
        what = f"validation images after epoch {number} of {settings.epochs}"
        yield Epoch(number, loss, _accuracy(model, validation, what, seed))


def _one_pass(
    model: nn.Module, optimizer: torch.optim.Optimizer, batches: Iterator[Split], rates: list[float]
) -> float:
    """Take one step per batch, at one rate each; return the mean loss."""
    model.train()
    losses = []
    for (images, labels), rate in zip(batches, rates, strict=True):
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = F.cross_entropy(main_output(model(images)), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.detach())
    return torch.stack(losses).mean().item()


def _accuracy(model: nn.Module, split: Split, what: str, seed: int) -> float:
    """Per cent of the images whose largest output is that of their class."""
    model.eval()
    images, labels = split
    with torch.inference_mode(), own_randomness(derived_seed(seed, "evaluate"), images.device):
        outputs = torch.cat(
            [main_output(model(part)) for part in torch.split(images, EVALUATION_BATCH)]
        )
    if not outputs.isfinite().all():
        raise Undefined(f"the network's outputs are not finite on the {what}")
    return 100 * int((outputs.argmax(1) == labels).sum()) / len(labels)


def _optimizer(model: nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(
            model.parameters(), lr=settings.lr, weight_decay=settings.weight_decay
        )
    return torch.optim.SGD(
        model.parameters(),
        lr=settings.lr,
        momentum=settings.momentum,
        nesterov=settings.nesterov,
        weight_decay=settings.weight_decay,
    )


def _cosine(settings: TrainSettings, steps: int, number: int) -> list[float]:
    """The learning rates of an epoch's steps, on the way from `lr` to 0 at the end of the last."""
    total = steps * settings.epochs
    places = range(steps * (number - 1), steps * number)
    return [settings.lr * (1 + math.cos(math.pi * place / total)) / 2 for place in places]


def _batches(split: Split, steps: int, generator: torch.Generator) -> Iterator[Split]:
    """All images once, in random order, in `steps` batches of nearly equal size.

    Equal sizes leave no last batch of one image, which BatchNorm could not normalise.
    """
    images, labels = split
    order = torch.randperm(len(labels), generator=generator).to(labels.device)
    return ((images[rows], labels[rows]) for rows in order.tensor_split(steps))


def _shifted(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image moved by -1, 0 or 1 pixels down and across, its border repeated."""
    count, _, height, width = images.shape
    moves = torch.randint(-1, 2, (2, count, 1), generator=generator).to(images.device)
    rows = (torch.arange(height, device=images.device) + moves[0]).clamp(0, height - 1)
    columns = (torch.arange(width, device=images.device) + moves[1]).clamp(0, width - 1)
    each = torch.arange(count, device=images.device)[:, None, None]
    return images[each, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _check(model: nn.Module, splits: Splits, device: torch.device, seed: int) -> None:
    """Raise ForetellError unless the model maps the images to one output a class."""
    few = Batch(splits.train[0][:2].to(device))
    with torch.no_grad(), mode(model, training=False), own_randomness(seed, device):
        shape = tuple(main_output(call(model, {}, few)).shape)
    if shape != (len(few), splits.classes):
        raise ForetellError(
            f"{type(model).__name__} maps {len(few)} images of {splits.name} to outputs of shape "
            f"{shape}; give a model whose outputs are {len(few), splits.classes}, one a class"
        )


def _at(part: Part, device: torch.device) -> Split:
    images, labels = part
    return images.to(device, memory_format=torch.channels_last), labels.to(device)


def _lay_out(model: nn.Module, memory_format: torch.memory_format) -> None:
    """Order the convolutions' weights in memory; channels last trains up to a third faster."""
    for parameter in model.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=memory_format)
