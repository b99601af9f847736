"""Train a network, to obtain the accuracy that proxies try to predict.

The recipe is simple: cross-entropy, SGD with momentum or AdamW, and a cosine schedule of the
learning rate that ends at zero. Validation accuracy is for choosing networks; test accuracy is
computed once, at the end, and nothing depends on it.
"""

import hashlib
import io
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foretell.batch import Batch, main_output
from foretell.data.splits import Part, Split, Splits
from foretell.engine.arithmetic import arithmetic
from foretell.engine.faster.onednn import StridedConvolutions
from foretell.engine.isolate import call, mode
from foretell.engine.memory import within_memory
from foretell.errors import ForetellError, OutOfMemory, Undefined
from foretell.files import read_file, write_atomically
from foretell.seeds import derived_seed, own_randomness
from foretell.training.settings import Precision, TrainSettings

__all__ = ["Epoch", "Trained", "check_trainable", "train"]

EVALUATION_BATCH = 2048
"""The number of images that are evaluated at a time; affects memory, not results."""
FITTED_BATCH = 64
"""The number of images evaluated at a time if they are resized for the network."""

Fit = Callable[[Batch], Batch]


@dataclass(frozen=True)
class Epoch:
    """The results of one epoch."""

    number: int  # from 1
    train_loss: float  # mean over the batches, computed while the weights change
    val_accuracy: float  # %


@dataclass(frozen=True)
class Trained:
    """The results of a training. An undefined accuracy is nan, with the reason in `why`.

    For texts, accuracies are shares of tokens.
    """

    val_accuracy: float  # %, after the last epoch
    test_accuracy: float  # %, after the last epoch
    seconds: float
    history: tuple[Epoch, ...]
    why: str | None = None

    @property
    def epochs(self) -> int:
        """The number of finished epochs: all of them, unless the training diverged."""
        return len(self.history)


def train(
    model: nn.Module,
    splits: Splits,
    settings: TrainSettings,
    seed: int,
    device: torch.device | str = "cpu",
    progress: Callable[[Epoch], None] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    keep_checkpoint: bool = False,
    identity: str = "",
    fit: Fit | None = None,
) -> Trained:
    """Train `model` in place and evaluate it; it remains on `device`, in evaluation mode.

    `fit` gives each minibatch in the form that the model requires, such as larger images.

    `progress` is called after every epoch. Shuffling, augmentation and the random numbers of the
    model (dropout) depend on `seed` only; the global generators are restored. On the same CPU with
    the same number of threads, equal models and seeds give equal accuracies.

    With a `checkpoint`, the state is saved to this file after every epoch, and an interrupted
    training resumes from it with the same result. The file is deleted at the end unless
    `keep_checkpoint` is set, for callers that have to save the trained model first. It contains
    only tensors and numbers, and loading it executes no code. A checkpoint that is damaged or
    belongs to another training is ignored; `identity` tells apart networks whose parameters have
    the same names.

    Raises ForetellError if the model does not accept the samples or does not have one output per
    class, and OutOfMemory if the memory is insufficient.
    """
    start = time.perf_counter()
    device = torch.device(device)
    order = _checked(model, splits, settings, seed, device, fit)
    _lay_out(model, order)
    course = _Course(model, splits, settings, seed, device, identity, order, fit)
    before = course.load(checkpoint) if checkpoint is not None else 0.0
    history = course.history
    val, test, why = math.nan, math.nan, None
    try:
        with arithmetic(device, tf32=settings.precision == "tf32"):
            while not course.over():
                epoch = within_memory(course.epoch, partial(too_large, settings))
                if checkpoint is not None:
                    course.save(checkpoint, before + time.perf_counter() - start)
                if progress is not None:
                    progress(epoch)
            val = history[-1].val_accuracy
            test = _accuracy(model, _at(splits.test, device, order), "test samples", seed, fit)
    except Undefined as undefined:
        why = str(undefined)
    model.eval()
    _lay_out(model, torch.contiguous_format)
    if checkpoint is not None and not keep_checkpoint:
        Path(checkpoint).unlink(missing_ok=True)
    return Trained(val, test, before + time.perf_counter() - start, tuple(history), why)


def check_trainable(
    model: nn.Module,
    splits: Splits,
    settings: TrainSettings,
    seed: int,
    device: torch.device | str = "cpu",
    fit: Fit | None = None,
) -> None:
    """Check everything that `train` checks, and move the model to the device."""
    _checked(model, splits, settings, seed, torch.device(device), fit)


def too_large(settings: TrainSettings) -> OutOfMemory:
    """The error for a training that does not fit into memory; smaller batches change the result."""
    return OutOfMemory(
        f"out of memory while training with batch_size {settings.batch_size}; use a smaller "
        "batch_size or a larger device"
    )


class _Course:
    """The state of a training between two epochs."""

    def __init__(
        self,
        model: nn.Module,
        splits: Splits,
        settings: TrainSettings,
        seed: int,
        device: torch.device,
        identity: str,
        order: torch.memory_format,
        fit: Fit | None,
    ) -> None:
        self.model, self.settings, self.seed, self.device = model, settings, seed, device
        self._fit = fit
        self.history: list[Epoch] = []
        names = [*model.state_dict()]
        about = (settings, seed, device.type, splits.fingerprint, names)
        self._about = repr((*about, identity) if identity else about)
        self._training = _at(splits.train, device, order)
        self._validation = _at(splits.val, device, order)
        self._steps = math.ceil(len(self._training[1]) / settings.batch_size)
        self._optimizer = _optimizer(model, settings)
        self._scaler = torch.amp.GradScaler(device.type, enabled=settings.precision == "fp16")
        self._shuffling = torch.Generator().manual_seed(derived_seed(seed, "shuffle"))
        self._shifting = torch.Generator().manual_seed(derived_seed(seed, "shift"))

    def over(self) -> bool:
        """Whether all epochs are finished, or the last `patience` ones brought no improvement."""
        settings, accuracies = self.settings, [epoch.val_accuracy for epoch in self.history]
        if len(accuracies) >= (settings.stop_after or settings.epochs):
            return True
        since = len(accuracies) - 1 - accuracies.index(max(accuracies)) if accuracies else 0
        return settings.patience is not None and since >= settings.patience

    def epoch(self) -> Epoch:
        """Train for another epoch. Raises Undefined if the training diverges."""
        settings, number = self.settings, len(self.history) + 1
        batches = _batches(self._training, self._steps, self._shuffling)
        if settings.augmentation == "shift":
            batches = ((_shifted(images, self._shifting), labels) for images, labels in batches)
        with own_randomness(derived_seed(self.seed, "model", number), self.device):
            loss = self._one_pass(batches, _cosine(settings, self._steps, number))
        if not math.isfinite(loss):
            raise Undefined(
                f"the training loss became {loss} in epoch {number} of {settings.epochs}"
            )
        what = f"validation samples after epoch {number} of {settings.epochs}"
        accuracy = _accuracy(self.model, self._validation, what, self.seed, self._fit)
        self.history.append(Epoch(number, loss, accuracy))
        return self.history[-1]

    def _one_pass(self, batches: Iterator[Split], rates: list[float]) -> float:
        """Take one step per batch with the given learning rates; returns the mean loss."""
        self.model.train()
        losses = []
        for (samples, labels), rate in zip(batches, rates, strict=True):
            for group in self._optimizer.param_groups:
                group["lr"] = rate
            with _autocast(self.settings.precision, self.device):
                outputs = main_output(self.model(_fitted(samples, self._fit)))
                loss = F.cross_entropy(*_one_per_row(outputs, labels))
            self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            self._scaler.step(self._optimizer)
            self._scaler.update()
            self._optimizer.zero_grad()
            losses.append(loss.detach())
        return torch.stack(losses).mean().item()

    def save(self, path: str | os.PathLike[str], seconds: float) -> None:
        """Write the state atomically, so that either the old or the new file survives a kill."""
        state = {
            "about": self._about,
            "seconds": seconds,
            "history": [asdict(epoch) for epoch in self.history],
            "model": self.model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
            "generators": [self._shuffling.get_state(), self._shifting.get_state()],
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        content = buffer.getvalue()
        write_atomically(Path(path), hashlib.sha256(content).digest() + content)

    def load(self, path: str | os.PathLike[str]) -> float:
        """Resume from a checkpoint of this training; returns its seconds, or 0 without one."""
        try:
            digest, content = (file := read_file(path))[:32], file[32:]
            if hashlib.sha256(content).digest() != digest:
                return 0.0
            state = torch.load(io.BytesIO(content), weights_only=True, map_location=self.device)
            if state["about"] != self._about:
                return 0.0
            generators = [state.cpu() for state in state["generators"]]
        except Exception:  # PyTorch may raise any exception here
            return 0.0
        self.model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._scaler.load_state_dict(state["scaler"])
        self._shuffling.set_state(generators[0])
        self._shifting.set_state(generators[1])
        self.history += [Epoch(**epoch) for epoch in state["history"]]
        return float(state["seconds"])


def _autocast(precision: Precision, device: torch.device) -> torch.autocast:
    kind = torch.float16 if precision == "fp16" else torch.bfloat16
    return torch.autocast(device.type, kind, enabled=precision in ("bf16", "fp16"))


def _one_per_row(outputs: Tensor, labels: Tensor) -> Split:
    """Outputs and labels; those of texts are flattened to one row per token."""
    if labels.ndim == 1:
        return outputs, labels
    return outputs.flatten(0, 1), labels.flatten()


def _fitted(samples: Tensor, fit: Fit | None) -> Tensor:
    """The samples in the form that the model requires.

    Raises ForetellError for a model that takes anything but one tensor.
    """
    inputs = samples if fit is None else fit(Batch(samples)).inputs
    if not isinstance(inputs, Tensor):
        raise ForetellError(
            "the network takes several inputs, but foretell trains with one; train it with a "
            "function of your own (--evaluate)"
        )
    return inputs


def _accuracy(
    model: nn.Module, split: Split, what: str, seed: int, fit: Fit | None = None
) -> float:
    """The percentage of samples, or tokens, whose largest output is that of their class."""
    model.eval()
    samples, labels = split
    right, size = 0, FITTED_BATCH if fit else EVALUATION_BATCH
    with torch.inference_mode(), own_randomness(derived_seed(seed, "evaluate"), samples.device):
        for part, truth in zip(
            torch.split(samples, size),
            torch.split(labels, size),
            strict=True,
        ):
            outputs = main_output(model(_fitted(part, fit)))
            if not outputs.isfinite().all():
                raise Undefined(f"the network's outputs are not finite on the {what}")
            right += int((outputs.argmax(-1) == truth).sum())
    return 100 * right / labels.numel()


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
    """The learning rates of the steps of an epoch, in a schedule from `lr` to 0."""
    total = steps * settings.epochs
    places = range(steps * (number - 1), steps * number)
    return [settings.lr * (1 + math.cos(math.pi * place / total)) / 2 for place in places]


def _batches(split: Split, steps: int, generator: torch.Generator) -> Iterator[Split]:
    """All images once in random order, in `steps` batches of nearly equal size.

    This avoids a last batch of one image, which BatchNorm cannot normalise.
    """
    images, labels = split
    order = torch.randperm(len(labels), generator=generator).to(labels.device)
    return ((images[rows], labels[rows]) for rows in order.tensor_split(steps))


def _shifted(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image shifted by -1, 0 or 1 pixels vertically and horizontally, repeating its border."""
    count, _, height, width = images.shape
    moves = torch.randint(-1, 2, (2, count, 1), generator=generator).to(images.device)
    rows = (torch.arange(height, device=images.device) + moves[0]).clamp(0, height - 1)
    columns = (torch.arange(width, device=images.device) + moves[1]).clamp(0, width - 1)
    each = torch.arange(count, device=images.device)[:, None, None]
    return images[each, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _checked(
    model: nn.Module,
    splits: Splits,
    settings: TrainSettings,
    seed: int,
    device: torch.device,
    fit: Fit | None = None,
) -> torch.memory_format:
    """The memory format of images and weights: channels-last where its gradients are correct.

    Raises ForetellError unless the model returns one output per class, and for data that has
    nothing to evaluate it on.
    """
    for name, part in {"validation": splits.val, "test": splits.test}.items():
        if not len(part[1]):
            raise ForetellError(
                f"{splits.name} has no {name} samples, which a training is evaluated on; give more "
                "samples of each class, or a larger share held_out"
            )
    settings.require(splits.kind, device.type)
    model.to(device)
    few = Batch(_fitted(splits.train[0][:2].to(device), fit))
    wanted = (*splits.train[1][:2].shape, splits.classes)
    convolutions = StridedConvolutions()
    try:
        with (
            torch.no_grad(),
            mode(model, training=False),
            own_randomness(seed, device),
            convolutions,
        ):
            shape = tuple(main_output(call(model, {}, few)).shape)
    except Undefined as error:
        raise ForetellError(str(error)) from error
    if shape != wanted:
        raise ForetellError(
            f"{type(model).__name__} maps {len(few)} samples of {splits.name} to outputs of shape "
            f"{shape}; expected {wanted}, one output per class"
        )
    return torch.contiguous_format if convolutions.unsafe else torch.channels_last


def _at(part: Part, device: torch.device, order: torch.memory_format) -> Split:
    samples, labels = part
    images = len(samples.shape) == 4
    laid_out = order if images else torch.contiguous_format
    return samples.to(device, memory_format=laid_out), labels.to(device)


def _lay_out(model: nn.Module, memory_format: torch.memory_format) -> None:
    """Set the memory format of convolution weights; channels-last trains up to a third faster."""
    for parameter in model.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=memory_format)
