"""Avoid channels-last images in convolutions for which oneDNN, PyTorch's CPU library, is unsafe.

For a strided 1×1 convolution of few channels in channels-last layout, oneDNN's gradient with
respect to the weight writes past the end of its workspace, which causes wrong values or a crash,
possibly later (github.com/uxlfoundation/oneDNN/issues/6035). In the original layout, it is correct.
"""

from typing import Any

import torch
from torch import Tensor

from foretell.engine.observer import Observer, Then
from foretell.engine.operations import contracted

__all__ = [
    "SafeConvolutions",
    "StridedConvolutions",
    "in_safe_layout",
    "is_unsafe",
    "safe",
    "stride_of",
]

BLOCK = 16
"""The number of channels in oneDNN's largest block; only with fewer is the layout unsafe."""


def is_unsafe(x: Tensor, weight: Tensor, stride: Any) -> bool:
    """Whether a convolution of `x` by `weight` must not run in channels-last layout.

    >>> x, weight = torch.ones(2, 4, 6, 6), torch.ones(8, 4, 1, 1)
    >>> is_unsafe(x, weight, 2), is_unsafe(x, weight, (1, 1))
    (True, False)
    """
    strided = any(step != 1 for step in (stride if isinstance(stride, list | tuple) else [stride]))
    return (
        strided
        and weight.ndim == x.ndim > 3
        and weight.shape[1] < BLOCK
        and not x.is_cuda
        and all(size == 1 for size in weight.shape[2:])
    )


def in_safe_layout(tensor: Tensor) -> Tensor:
    """The tensor with the strides of the original layout, by which oneDNN detects the layout.

    A 1×1 weight may have the strides of both, for which `Tensor.contiguous` does nothing.
    """
    strides = torch.empty(tensor.shape, device="meta").stride()
    if tensor.stride() == strides:
        return tensor
    return (
        tensor.as_strided(tensor.shape, strides) if tensor.is_contiguous() else tensor.contiguous()
    )


def safe(x: Tensor, weight: Tensor, stride: Any) -> tuple[Tensor, Tensor]:
    """The input and weight of a convolution, in the original layout if channels-last is unsafe."""
    if is_unsafe(x, weight, stride):
        return in_safe_layout(x), in_safe_layout(weight)
    return x, weight


def stride_of(others: tuple[Any, ...], named: dict[str, Any]) -> Any:
    """The stride among the arguments of a convolution that follow the bias."""
    return others[0] if others else named.get("stride", 1)


class StridedConvolutions(Observer):
    """Within the block, observe whether a convolution is unsafe in channels-last layout."""

    unsafe = False
    """Whether an unsafe convolution has run."""

    def look(
        self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Then | None:
        if name in ("conv2d", "conv3d"):
            x, weight, _, others, named = contracted(args, kwargs)
            self.unsafe |= is_unsafe(x, weight, stride_of(others, named))
        return None


class SafeConvolutions(Observer):
    """Within the block, run unsafe convolutions in the original layout."""

    replaced = (torch.conv2d, torch.conv3d)

    def run(self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        x, weight, bias, others, named = contracted(args, kwargs)
        with torch._C.DisableTorchFunction():
            x, weight = safe(x, weight, stride_of(others, named))
            return func(x, weight, bias, *others, **named)
