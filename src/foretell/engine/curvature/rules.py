"""Rules that give the tangent ẏ of an operation y = f(x) from the tangent ẋ of x.

For y = relu(x), ẏ = ẋ where y > 0 and 0 elsewhere:

    >>> x, along = torch.tensor([-1.0, 2.0]), torch.tensor([3.0, 4.0])
    >>> relu([along], torch.relu(x))
    tensor([0., 4.])

Each rule can be differentiated once with respect to x, since the curvature is the gradient of a
tangent. A `tangent` of None stands for zero.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from foretell.engine.curvature.normed import Normed
from foretell.engine.operations import (
    AVERAGES,
    BATCH_NORMS,
    CONTRACTIONS,
    PRODUCTS,
    REARRANGEMENTS,
    SUMS,
    words,
)

__all__ = [
    *("LINEAR", "NEEDS_NO_COPY", "NORM_RULES", "NOT_THRICE", "REWRITTEN", "SLOPES"),
    *("draws_nothing", "frozen", "lying_as", "norm_of", "normalize", "relu", "total"),
]

LINEAR = REARRANGEMENTS | AVERAGES
"""Operations with ẏ = f(ẋ): they are linear in their first argument, and only it has a tangent."""


def relu(tangents: Sequence[Tensor | None], out: Tensor) -> Tensor | None:
    """ẏ = ẋ where y > 0, else 0."""
    if tangents[0] is None:
        return None
    masked: Tensor = torch.ops.aten.threshold_backward(tangents[0], out, 0)
    return masked


def total(terms: Sequence[Tensor | None], out: Tensor) -> Tensor | None:
    """ẏ = ȧ + ḃ, or the one that is not zero, in the shape of the result."""
    there = [term for term in terms if term is not None]
    if not there:
        return None
    summed = there[0] if len(there) == 1 else there[0] + there[1]
    return summed if summed.shape == out.shape else summed.expand_as(out)


def frozen(
    tangent: Tensor, x: Tensor, running_var: Tensor, weight: Tensor | None, eps: float
) -> Tensor:
    """ẏ = γ·ẋ / √(var + ε), for a normalisation by fixed statistics."""
    scale = (running_var + eps).rsqrt() * (1 if weight is None else weight)
    return tangent * scale.view(-1, *[1] * (x.ndim - 2))


def lying_as(tangent: Tensor, x: Tensor) -> Tensor:
    """ẋ in the memory layout of x, which determines the order in which dropout draws numbers."""
    return tangent if tangent.stride() == x.stride() else torch.empty_like(x).copy_(tangent)


def layer_norm(
    tangent: Tensor,
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *_: Any,
) -> Tensor:
    """ẏ = γ·s·(ẋ − mean ẋ − x̂·mean(x̂ẋ)), x̂ = s·(x − mean x), over the last axes."""
    out = by_rows(tangent, input, math.prod(normalized_shape), eps)
    return out if weight is None else out * weight


def group_norm(
    tangent: Tensor,
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *_: Any,
) -> Tensor:
    """The rule of `layer_norm` over the channels and positions of a group."""
    out = by_rows(tangent, input, input[0].numel() // num_groups, eps)
    return out if weight is None else out * weight.view(-1, *[1] * (input.ndim - 2))


def instance_norm(
    tangent: Tensor,
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """The rule of `layer_norm` over the positions of a channel, or that of running statistics."""
    if use_input_stats or running_var is None:
        return group_norm(tangent, input, input.shape[1], weight, None, eps)
    return frozen(tangent, input, running_var, weight, eps)


def rms_norm(
    tangent: Tensor,
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """ẏ = γ·s·(ẋ − x·s²·mean(xẋ)), s = 1/√(mean x² + ε)."""
    axes = tuple(range(input.ndim - len(normalized_shape), input.ndim))
    tiny = torch.finfo(input.dtype).eps if eps is None else eps
    scale = (input.square().mean(axes, keepdim=True) + tiny).rsqrt()
    out = scale * (tangent - input * scale**2 * (input * tangent).mean(axes, keepdim=True))
    return out if weight is None else out * weight


def norm_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> float:
    """The argument p of a call of F.normalize."""
    return float(args[1] if len(args) > 1 else kwargs.get("p", 2.0))


def normalize(
    tangent: Tensor, input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12, **_: Any
) -> Tensor:
    """ẏ = (ẋ − u·uᵀẋ)/|x|, u = x/|x|, and ẋ/ε if |x| < ε; torch's own tangent is nan at 0."""
    square = input.square().sum(dim, keepdim=True)
    longer = square > eps**2
    length = torch.where(longer, square, 1).sqrt()
    unit = input / length
    along = unit * (unit * tangent).sum(dim, keepdim=True)
    return torch.where(longer, (tangent - along) / length, tangent / eps)


def by_rows(tangent: Tensor, input: Tensor, size: int, eps: float) -> Tensor:
    """ẏ of a normalisation of groups of `size` consecutive numbers."""
    rows, row_tangents = input.reshape(1, -1, size), tangent.reshape(1, -1, size)
    out: Tensor = NormTangent.apply(rows, row_tangents, eps)
    return out.view_as(input)


NORM_RULES: dict[Any, Callable[..., Tensor]] = {
    F.layer_norm: layer_norm,
    torch.layer_norm: layer_norm,
    F.group_norm: group_norm,
    torch.group_norm: group_norm,
    F.instance_norm: instance_norm,
    F.rms_norm: rms_norm,
    torch.rms_norm: rms_norm,
}
"""Operations that torch can differentiate twice, but not three times, as the gradient needs."""

NOT_THRICE = words("layer_norm native_layer_norm group_norm native_group_norm rms_norm")
"""Their third derivative in torch is wrong, without an error."""


def weight_norm(v: Tensor, g: Tensor, dim: int = 0) -> Tensor:
    """g · v / ‖v‖."""
    return v * (g / torch.norm_except_dim(v, 2, dim))


REWRITTEN: dict[Any, Callable[..., Tensor]] = {torch._weight_norm: weight_norm}
"""Operations whose second derivative in torch is wrong, by the same in others."""


class NormTangent(torch.autograd.Function):
    """The tangent of rows, `[1, rows, size]`, each normalised by its own statistics."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, tangent: Tensor, eps: float) -> Tensor:
        ctx.normed, ctx.tangent = Normed(x.detach(), None, eps), tangent
        out: Tensor = ctx.normed.tangent(tangent)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return ctx.normed.gradient(grads[0], ctx.tangent), None, None


NEEDS_NO_COPY: dict[str, Callable[[Sequence[Tensor | None], Tensor], Tensor | None]] = {
    **dict.fromkeys(("relu", "relu_"), relu),
    **dict.fromkeys(("__iadd__", "add_"), total),
}
"""In-place operations whose tangent does not depend on the previous value."""


SLOPES: dict[str, Callable[[Tensor], Tensor]] = {
    "relu6": lambda x: ((x > 0) & (x < 6)).to(x.dtype),
    "hardsigmoid": lambda x: ((x > -3) & (x < 3)).to(x.dtype) / 6,
    "hardswish": lambda x: torch.where(x <= -3, 0, torch.where(x >= 3, 1, x / 3 + 0.5)),
}
"""Derivatives of functions that torch cannot differentiate twice, or only slowly."""


QUIET = LINEAR | SUMS.keys() | PRODUCTS | words("relu relu_ max_pool2d cat")


def draws_nothing(func: Any, name: str) -> bool:
    """Whether an operation is known not to use random numbers, since saving their state is slow."""
    return func in CONTRACTIONS or func in BATCH_NORMS or name in QUIET
