"""Batch normalisation of images in channels-last memory layout.

torch's kernel for this layout sums pixel by pixel in float32 and loses two digits.
"""

from typing import Any

import torch
from torch import Tensor

from foretell.engine.faster.channels import Channels, moments
from foretell.engine.operations import NormCall

__all__ = ["BatchNorm", "batch_norm", "made_here"]


class BatchNorm(torch.autograd.Function):
    """γ·s·(x − mean) + β with s = 1/√(var + ε), by the statistics of x.

    The node in the graph stores `mean` and `s`. If it has a `listener`, it calls it with the
    gradient c that it receives, mean c, and mean(c·(x − mean)·s). It can be differentiated twice.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        mean: Tensor,
        s: Tensor,
        eps: float,
    ) -> Tensor:
        channels = Channels(x)
        scale = s if weight is None else s * weight
        shift = -mean * scale if bias is None else bias - mean * scale
        out = torch.empty_like(x)  # not a view, since the model may overwrite it
        flat = channels.flat(out)
        torch.addcmul(channels.spread(shift), channels.spread(scale), channels.flat(x), out=flat)
        ctx.save_for_backward(x, weight)
        ctx.mean, ctx.s, ctx.eps, ctx.biased = mean, s, eps, bias is not None
        ctx.listener = None
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        channels = Channels(x)
        flat, c = channels.flat(x), channels.flat(grads[0])
        mean, s = ctx.mean, ctx.s
        if torch.is_grad_enabled():  # to be differentiated again
            var, mean = moments(x)
            s = (var + ctx.eps).rsqrt()
        scale = s if weight is None else s * weight
        total = channels.sums(c)
        by_weight = (channels.sums(c * flat) - mean * total) * s
        if ctx.listener is not None:
            ctx.listener(grads[0], total / channels.each, by_weight / channels.each)
        by_x = -scale * s * by_weight / channels.each
        constant = -scale * total / channels.each - by_x * mean
        found = torch.addcmul(channels.spread(constant), channels.spread(by_x), flat)
        found = found.addcmul_(channels.spread(scale), c)
        by_weight = None if weight is None else by_weight
        return channels.shaped(found), by_weight, total if ctx.biased else None, None, None, None


def made_here(node: Any) -> bool:
    """Whether a node of the graph is that of a `BatchNorm` of this module."""
    return getattr(node, "_forward_cls", None) is BatchNorm


def batch_norm(*args: Any, **kwargs: Any) -> Tensor:
    """F.batch_norm by the statistics of its input; it updates the running ones in the same way."""
    call = NormCall(*args, **kwargs)
    x, mean_so_far, var_so_far = call.input, call.running_mean, call.running_var
    with torch.no_grad():
        var, mean = moments(x)
        n = x.numel() // x.shape[1]
        if mean_so_far is not None:
            mean_so_far.lerp_(mean.to(mean_so_far.dtype), call.momentum)
        if var_so_far is not None:
            var_so_far.lerp_((var * (n / max(n - 1, 1))).to(var_so_far.dtype), call.momentum)
    s = (var + call.eps).rsqrt()
    out: Tensor = BatchNorm.apply(x, call.weight, call.bias, mean, s, call.eps)
    return out
