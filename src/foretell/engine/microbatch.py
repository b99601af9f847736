"""Check that computing a batch in parts is exact, and refuse it otherwise."""

import math
import random
from typing import Any

import numpy as np
import torch
from torch import Tensor

from foretell.batch import Batch, change_all, columns, in_rows, main_output, tensors
from foretell.engine.failures import Inexact, ModelFailed, is_out_of_memory
from foretell.engine.isolate import call
from foretell.engine.observers.layer_outputs import Watch
from foretell.engine.subject import Subject, differentiated
from foretell.errors import Undefined

__all__ = ["check_exact", "check_loss_is_a_mean", "split"]


def split(batch: Batch, size: int | None) -> list[Batch]:
    """Split the batch into parts of `size` samples, the last possibly smaller; one part if None.

    >>> [len(part) for part in split(Batch(torch.zeros(5, 1)), 2)]
    [2, 2, 1]
    """
    if size is None:
        return [batch]
    return [batch[start : start + size] for start in range(0, len(batch), size)]


def check_exact(subject: Subject) -> None:
    """Raise Inexact if parts of the batch would not give the value of the whole batch.

    Two samples are run. The model must not normalise by common statistics or draw random numbers,
    and the output of the first sample must not change with the input of the second one. Then all
    samples are run once more, in other parts and in another order, and the gradients of two samples
    together are compared with those of each.
    """
    if "exact" in subject.checks:
        return
    if len(subject.batch.shared) < len(list(columns(subject.batch.inputs))):
        raise Inexact("a list among the inputs cannot be put together from parts")
    check_two(subject)
    check_other_parts(subject)
    check_gradients(subject)
    subject.checks.add("exact")


def check_two(subject: Subject) -> None:
    """Raise Inexact if two samples of the batch depend on each other, or on chance."""
    first, second = Batch(subject.batch[:1].inputs), Batch(subject.batch[1:2].inputs)
    both = joined(first, second)
    watch = Watch(subject.weights)
    with subject.undisturbed("probe"), torch.enable_grad():
        before = random_state()
        with watch:
            outputs = output_of(call(subject.model, {}, both))
        drew = before != random_state()
    if watch.batch_statistics:
        raise Inexact("BatchNorm uses the statistics of the whole batch", " or batch_norm='frozen'")
    if drew:
        raise Inexact("the model draws random numbers (dropout?) over the whole batch")
    if outputs.ndim == 0:
        raise Inexact("the model returns one loss for the whole batch")
    with subject.undisturbed("probe"), torch.enable_grad():
        # far from the second sample, to detect a coupling by a maximum as well
        far = second.each(lambda t: 16 * t + 1) if is_floating(second) else first
        beside_another = output_of(call(subject.model, {}, joined(first, far)))
    if not torch.allclose(outputs[0], beside_another[0], rtol=1e-3, atol=1e-5):
        raise Inexact("one sample's output depends on another's input")


def check_gradients(subject: Subject) -> None:
    """Raise Inexact if a gradient of two samples is not the sum of the gradients of each."""
    inputs, weights = Batch(subject.batch.inputs), list(subject.weights.values())
    try:
        both, first, second = (gradients_of(subject, inputs[k], weights) for k in TWO_AND_EACH)
    except Undefined:  # so are all scores that need a gradient
        return
    for whole, one, other in zip(both, first, second, strict=True):
        if not alike(whole, one + other):
            raise Inexact("one sample's gradient depends on another's")


TWO_AND_EACH = (slice(0, 2), slice(0, 1), slice(1, 2))


def gradients_of(subject: Subject, part: Batch, weights: list[Tensor]) -> tuple[Tensor, ...]:
    """The gradients of a sum of outputs, in which each output of a sample has another factor."""
    with subject.undisturbed("probe"), torch.enable_grad():
        output = output_of(call(subject.model, {}, part))
        factors = torch.arange(output[0].numel(), device=output.device).cos().view(output[0].shape)
        total = (output * factors).sum()
        return differentiated(total, weights) if weights and total.requires_grad else ()


def check_other_parts(subject: Subject) -> None:
    """Raise Inexact if an output changes in other parts of the batch, larger and in another order.

    They are run without gradients, which takes less memory; only a model that does something else
    then, or differentiates while it runs, is run with them.
    """
    try:
        with torch.no_grad():
            same = same_in_other_parts(subject)
    except ModelFailed:
        same = False
    if not same:
        with torch.enable_grad():
            same = same_in_other_parts(subject)
    if not same:
        raise Inexact("one sample's output depends on another's input, or on its place")


def same_in_other_parts(subject: Subject) -> bool:
    """Whether the outputs of all samples are the same in other parts of the batch."""
    inputs, size = Batch(subject.batch.inputs), subject.micro_batch or len(subject.batch)
    dice = torch.Generator().manual_seed(len(inputs))
    order = torch.randperm(len(inputs), generator=dice, device="cpu").tolist()
    outputs = outputs_of(subject, inputs, size)
    moved = outputs_in_larger_parts(subject, Batch(in_rows(inputs.inputs, order)), size)
    pairs = zip(outputs, moved, strict=True)
    return all(alike(rows[order], other) for rows, other in pairs)


def outputs_in_larger_parts(subject: Subject, inputs: Batch, size: int) -> list[Tensor]:
    """The outputs of more samples at a time than `size`, if there is memory for them."""
    try:
        return outputs_of(subject, inputs, max(2 * size, 8))
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    return outputs_of(subject, inputs, size)


def outputs_of(subject: Subject, inputs: Batch, size: int) -> list[Tensor]:
    """Everything that the model returns for each sample, from `size` samples at a time."""
    found = []
    for part in split(inputs, size):
        with subject.undisturbed("probe"):
            outputs = tensors(call(subject.model, {}, part.each(torch.clone)))
        found.append([t.detach() for t in outputs if t.ndim and len(t) == len(part)])
    if len(set(map(len, found))) > 1:
        raise Inexact("the model does not return the same outputs for each sample")
    return [torch.cat(rows) for rows in zip(*found, strict=True)]


def alike(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors differ by rounding at most.

    >>> alike(torch.ones(2), torch.ones(2) + 1e-6), alike(torch.ones(2), torch.ones(2) + 0.01)
    (True, False)
    """
    if not one.is_floating_point():
        return torch.equal(one, other)
    near = 3 * math.sqrt(torch.finfo(one.dtype).eps)
    scale = float(one.abs().nan_to_num().max()) if one.numel() else 0.0
    return torch.allclose(one, other, rtol=near, atol=near * scale / 100, equal_nan=True)


def output_of(outputs: Any) -> Tensor:
    """The main output, which is used to compare parts of a batch."""
    try:
        return main_output(outputs)
    except Undefined as error:
        raise Inexact(str(error)) from error


def is_floating(batch: Batch) -> bool:
    """Whether all inputs are floating-point tensors, unlike token ids or masks."""
    return all(tensor.is_floating_point() for tensor in tensors(batch.inputs))


def joined(first: Batch, second: Batch) -> Batch:
    """One batch with the samples of both batches."""
    others = iter(tensors(second.inputs))
    return Batch(change_all(first.inputs, lambda tensor: torch.cat([tensor, next(others)])))


def random_state() -> tuple[object, ...]:
    """The states of all generators of the CPU and the current GPU; any draw changes them."""
    states = [torch.get_rng_state().numpy().tobytes(), random.getstate()]
    states.append(np.random.get_state()[1:3].__repr__())  # type: ignore[index]
    if torch.cuda.is_available():
        states.append(torch.cuda.get_rng_state().numpy().tobytes())
    return tuple(states)


def check_loss_is_a_mean(subject: Subject, outputs: list[Any], summed: float) -> None:
    """Raise Inexact unless the loss of all outputs is the weighted sum over the parts."""
    if any(tensor.ndim == 0 for tensor in tensors(outputs)):
        raise Inexact("the model returns a number for the whole batch")
    if isinstance(outputs[0], Tensor):
        whole: Any = torch.cat(outputs)
    else:
        pieces = iter(zip(*(tensors(output) for output in outputs), strict=True))
        whole = change_all(outputs[0], lambda _: torch.cat(next(pieces)))
    with torch.enable_grad():  # for losses that compute gradients
        leaves = change_all(whole, lambda t: t.detach().requires_grad_(t.is_floating_point()))
        at_once = subject.loss_of(change_all(leaves, torch.clone), subject.batch.targets).item()
    both_nan = math.isnan(at_once) and math.isnan(summed)
    if not both_nan and not math.isclose(at_once, summed, rel_tol=1e-4, abs_tol=1e-6):
        raise Inexact(
            f"the loss is not a mean over samples ({summed:g} in parts, {at_once:g} at once)"
        )
