"""Losses by name, and the check that a batch fits them."""

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foretell.batch import main_output
from foretell.checks import as_function, wrong
from foretell.errors import ForetellError, shown, unknown_name

__all__ = ["LOSSES", "Loss", "loss_name", "resolve_loss", "token_cross_entropy"]

Loss = Callable[[Any, Any], Tensor]


IGNORED = -100
"""The label that PyTorch's cross-entropy ignores by default."""


def cross_entropy(outputs: Any, targets: Any) -> Tensor:
    """Mean cross-entropy of the main output, logits `[N, C, …]`, with class indices as targets.

    Targets of the shape of the logits are the probabilities of the classes.

    >>> from torch import tensor
    >>> cross_entropy(tensor([[0.0, 0.0]]), tensor([1]))
    tensor(0.6931)
    """
    logits = main_output(outputs)
    if logits.ndim < 2:
        raise ForetellError(
            f"cross-entropy needs logits [N, classes], not an output of shape {list(logits.shape)}"
        )
    if not isinstance(targets, Tensor):
        raise _mistaken(targets, "cross-entropy", "a tensor of class indices")
    if targets.is_floating_point() and targets.shape == logits.shape:
        return F.cross_entropy(logits, _probabilities(targets))
    shape = [*logits.shape[:1], *logits.shape[2:]]
    if targets.dtype not in INTEGERS or list(targets.shape) != shape:
        wanted = f"class indices, integers of shape {shape}"
        raise _mistaken(targets, "cross-entropy", wanted)
    _check_labels(targets[targets != IGNORED], logits.shape[1])
    return F.cross_entropy(logits, targets.long())


def _probabilities(targets: Tensor) -> Tensor:
    """The targets, which must be at least 0 and have the sum 1 over the classes."""
    sums = _finite(targets).sum(1)
    if (targets < 0).any() or not torch.allclose(sums, torch.ones_like(sums), atol=0.01):
        raise ForetellError(
            f"the targets have the shape of the logits, {list(targets.shape)}, but are not the "
            "probabilities of the classes, which are at least 0 and have the sum 1; for other "
            "targets, choose bce_with_logits, mse or l1"
        )
    return targets


INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


def _check_labels(labels: Tensor, outputs: int) -> None:
    if labels.numel():
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= outputs:
            raise ForetellError(
                f"label {low if low < 0 else high} is out of range: the model has {outputs} "
                f"outputs, so labels run from 0 to {outputs - 1}"
            )


def _mistaken(targets: Any, loss: str, wanted: str) -> ForetellError:
    given = shown(targets)
    if isinstance(targets, Tensor):
        given = f"{str(targets.dtype).removeprefix('torch.')} of shape {list(targets.shape)}"
    return ForetellError(f"the targets are {given}; {loss} expects {wanted}")


def mse(outputs: Any, targets: Any) -> Tensor:
    """Mean squared error between the main output and targets of the same shape."""
    output = main_output(outputs)
    return F.mse_loss(output, _numbers(output, targets, "mse"))


def l1(outputs: Any, targets: Any) -> Tensor:
    """Mean absolute error between the main output and targets of the same shape."""
    output = main_output(outputs)
    return F.l1_loss(output, _numbers(output, targets, "l1"))


def bce_with_logits(outputs: Any, targets: Any) -> Tensor:
    """Mean binary cross-entropy of the main output, logits, with targets of the same shape.

    Targets run from 0 to 1.
    """
    output = main_output(outputs)
    numbers = _numbers(output, targets, "bce_with_logits")
    if numbers.numel() and not (numbers.min() >= 0 and numbers.max() <= 1):
        low, high = float(numbers.min()), float(numbers.max())
        raise ForetellError(
            f"the targets run from {low:g} to {high:g}; bce_with_logits expects 0 to 1"
        )
    return F.binary_cross_entropy_with_logits(output, numbers)


def _numbers(output: Tensor, targets: Any, loss: str) -> Tensor:
    """The targets, which must have the shape of the output, as numbers of its type."""
    if not isinstance(targets, Tensor) or targets.shape != output.shape or targets.is_complex():
        wanted = f"numbers of the shape of the output, {list(output.shape)}"
        raise _mistaken(targets, loss, wanted)
    return _finite(targets) if targets.is_floating_point() else targets.to(output.dtype)


def _finite(targets: Tensor) -> Tensor:
    if not targets.isfinite().all():
        count = int((~targets.isfinite()).sum())
        raise ForetellError(
            f"the targets have {count} values that are NaN or infinite; remove or replace them"
        )
    return targets


def token_cross_entropy(outputs: Any, targets: Any) -> Tensor:
    """Mean cross-entropy of logits `[N, length, tokens]` with ids `[N, length]`; −100 is ignored.

    >>> from torch import tensor, zeros
    >>> token_cross_entropy(zeros(1, 2, 4), tensor([[3, -100]]))
    tensor(1.3863)
    """
    logits = main_output(outputs)
    if not isinstance(targets, Tensor) or logits.shape[:-1] != targets.shape:
        wanted = f"ids [N, length] for logits [N, length, tokens] of shape {list(logits.shape)}"
        raise _mistaken(targets, "token_cross_entropy", wanted)
    return cross_entropy(logits.flatten(0, -2), targets.flatten())


def own(outputs: Any, targets: Any) -> Tensor:
    """The loss that the model returns: a scalar, `loss` of a dict, or the sum of a dict of losses.

    For detection models and others that receive their targets as inputs and return their losses;
    an output of transformers has `loss` if labels are among the inputs.

    >>> from torch import tensor
    >>> own({"loss_box": tensor(1.0), "loss_class": tensor(0.5)}, None)
    tensor(1.5000)
    """
    if isinstance(outputs, Tensor) and outputs.numel() == 1:
        return outputs.reshape(())
    if isinstance(outputs, Mapping):
        whole = outputs.get("loss")
        if isinstance(whole, Tensor):
            return whole
        parts = list(outputs.values())
        if parts and all(isinstance(part, Tensor) and part.numel() == 1 for part in parts):
            return torch.stack([part.reshape(()) for part in parts]).sum()
    raise ForetellError(
        f"the model returned a {type(outputs).__name__} and no loss; pass its targets as an "
        "input, or choose another loss"
    )


LOSSES: dict[str, Loss] = {
    "cross_entropy": cross_entropy,
    "mse": mse,
    "l1": l1,
    "bce_with_logits": bce_with_logits,
    "token_cross_entropy": token_cross_entropy,
    "own": own,
}


def resolve_loss(loss: str | Loss) -> Loss:
    """The loss function of this name, or the callable itself."""
    if isinstance(loss, str):
        if loss in LOSSES:
            return LOSSES[loss]
        then = " (or pass a callable (outputs, targets) -> scalar)"
        raise unknown_name("loss", loss, LOSSES, then=then)
    if isinstance(loss, type) and issubclass(loss, nn.Module):
        raise wrong("loss", loss, f"a loss that is made: {loss.__name__}()")
    wanted = "a name of a loss, or a function (outputs, targets) -> scalar"
    return cast(Loss, as_function("loss", loss, wanted))


def loss_name(loss: str | Loss) -> str:
    """The name of the loss in rows: its name, or the qualified name of a callable."""
    if isinstance(loss, str):
        return loss
    return getattr(loss, "__qualname__", type(loss).__qualname__)
