"""Compute average pools with small windows as convolutions, which are faster on a CPU."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from foretell.engine.observer import Observer

__all__ = ["QuickPools", "avg_pool2d"]

SMALL = 9
"""Windows with up to this many values are faster as a convolution."""


class QuickPools(Observer):
    """Within the block, average pools are computed by `avg_pool2d` below."""

    replaced = (F.avg_pool2d,)

    def run(self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return avg_pool2d(*args, **kwargs)


def avg_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """F.avg_pool2d, which computes small windows in float32 by convolving each channel with ones.

    >>> x = torch.arange(9.0).view(1, 1, 3, 3)
    >>> avg_pool2d(x, 3, 1, 1, count_include_pad=False)[0, 0, 0]
    tensor([2.0000, 2.5000, 3.0000])
    """
    kernel, pad = pair(kernel_size), pair(padding)
    steps = kernel if stride is None or stride == [] else pair(stride)
    plain = not ceil_mode and divisor_override is None and input.ndim == 4
    here = input.dtype == torch.float32 and input.device.type == "cpu"
    small = kernel[0] * kernel[1] <= SMALL
    padded_right = all(2 * p <= k for p, k in zip(pad, kernel, strict=True))
    if not (plain and here and small and padded_right):
        return F.avg_pool2d(
            input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
        )
    channels = input.shape[1]
    whole = count_include_pad or pad == (0, 0)
    share = 1 / (kernel[0] * kernel[1]) if whole else 1.0
    window = input.new_full((1, 1, *kernel), share)
    out = torch.conv2d(input, window.expand(channels, -1, -1, -1), None, steps, pad, 1, channels)
    if whole:
        return out
    there = torch.conv2d(input.new_ones(1, 1, *input.shape[2:]), window, None, steps, pad)
    return out * there.reciprocal()


def pair(value: Any) -> tuple[int, int]:
    """A pair from one number for both axes, or from one number per axis."""
    both = (value, value) if isinstance(value, int) else tuple(value) * (3 - len(value))
    return int(both[0]), int(both[1])
