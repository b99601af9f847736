"""What torch's operations are, known once: which convolve, which write in place."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

__all__ = ["NormCall", "in_place"]


def in_place(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether the operation overwrites its first argument.

    >>> in_place("relu_", (), {}), in_place("relu", (), {}), in_place("__iadd__", (), {})
    (True, False, True)
    """
    if name.startswith("__i") and name not in ("__index__", "__int__", "__invert__"):
        return True
    if name.endswith("_") and not name.endswith("__"):
        return name not in ("requires_grad_", "retain_grad_")
    return bool(kwargs.get("inplace")) or name == "__setitem__"


@dataclass(frozen=True)
class NormCall:
    """The arguments of F.batch_norm, however they are given."""

    input: Tensor
    running_mean: Tensor | None = None
    running_var: Tensor | None = None
    weight: Tensor | None = None
    bias: Tensor | None = None
    training: bool = False
    momentum: float = 0.1
    eps: float = 1e-5


CONVOLUTIONS = {
    torch.conv1d,
    torch.conv2d,
    torch.conv3d,
    torch.conv_transpose1d,
    torch.conv_transpose2d,
    torch.conv_transpose3d,
}


def origin(output: Tensor) -> Tensor:
    """What to hook for the gradient of an output as it is now, whatever is written over it later.

    A linear layer returns a view of a matrix product; writing over a view would lose its hooks.
    """
    base = output._base
    if base is None or base.grad_fn is None or base.numel() != output.numel():
        return output
    return base if base.is_contiguous() and output.is_contiguous() else output
