"""Computing a batch in parts: exact, or refused."""

import math
import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from foretell.batch import Batch, change_all, main_output, tensors
from foretell.engine.isolate import call
from foretell.engine.watch import Watch
from foretell.errors import ForetellError
from foretell.losses import Loss

__all__ = ["check_exact", "check_loss_is_a_mean", "split"]


def split(batch: Batch, size: int | None) -> list[Batch]:
    """The batch in parts of `size` samples, the last one perhaps smaller; whole if size is None.

    >>> [len(part) for part in split(Batch(torch.zeros(5, 1)), 2)]
    [2, 2, 1]
    """
    if size is None:
        return [batch]
    if size < 1:
        raise ForetellError(f"micro_batch is {size}; give a number of samples, at least 1")
    return [batch[start : start + size] for start in range(0, len(batch), size)]


def check_exact(
    model: nn.Module, batch: Batch, undisturbed: Callable[..., AbstractContextManager[None]]
) -> None:
    """Raise ForetellError if parts of the batch would not add up to the whole.

    Two samples are run: they must not normalise by common statistics, nor draw random numbers,
    nor may the first one's output depend on the second one's input.
    """
    pair = batch[:2].each(lambda t: t.detach().requires_grad_(t.is_floating_point()))
    watch = Watch({}, len(pair))
    with undisturbed("probe"), torch.enable_grad():
        before = random_state()
        with watch:
            outputs = call(model, {}, pair.each(torch.clone))
        drew = before != random_state()
    if watch.batch_statistics:
        raise refused("BatchNorm uses the statistics of the whole batch", " or batch_norm='frozen'")
    if drew:
        raise refused("the model draws random numbers (dropout?) over the whole batch")
    sources = [t for t in tensors(pair.inputs) if t.requires_grad]
    output = main_output(outputs)
    if sources and output.requires_grad:
        rows = torch.autograd.grad(output[0].sum(), sources, allow_unused=True)
        if any(row is not None and row[1:].any() for row in rows):
            raise refused("one sample's output depends on another's input")


def refused(why: str, otherwise: str = "") -> ForetellError:
    """The error that says why splitting would change the scores."""
    return ForetellError(
        f"micro_batch would change the scores: {why}; use micro_batch=None{otherwise}"
    )


def random_state() -> tuple[object, ...]:
    """What changes when anybody draws a random number on the CPU or the current GPU."""
    states = [torch.get_rng_state().numpy().tobytes(), random.getstate()]
    states.append(np.random.get_state()[1:3].__repr__())  # type: ignore[index]
    if torch.cuda.is_available():
        states.append(torch.cuda.get_rng_state().numpy().tobytes())
    return tuple(states)


def check_loss_is_a_mean(loss: Loss, outputs: list[Any], targets: Any, summed: float) -> None:
    """Raise ForetellError unless the loss of all outputs is the weighted sum over the parts."""
    if isinstance(outputs[0], Tensor):
        whole: Any = torch.cat(outputs)
    else:
        pieces = iter(zip(*(tensors(output) for output in outputs), strict=True))
        whole = change_all(outputs[0], lambda _: torch.cat(next(pieces)))
    with torch.no_grad():
        at_once = float(loss(whole, targets))
    if not math.isclose(at_once, summed, rel_tol=1e-4, abs_tol=1e-6):
        raise refused(
            f"the loss is not a mean over samples ({summed:g} in parts, {at_once:g} at once)"
        )
