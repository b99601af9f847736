"""The tangent of an operation without a rule, from two gradients of this operation alone.

For y = f(x) with Jacobian J, the gradient of uᵀy with respect to x is uᵀJ, which is linear in u;
the gradient of uᵀJẋ with respect to u is Jẋ, which is ẏ:

    >>> x = torch.tensor([0.0, 1.0], requires_grad=True)
    >>> along = {x: torch.tensor([1.0, 1.0])}
    >>> by_two_gradients(along.get, Curvature(), torch.exp, (x,), {}).tangent.detach()
    tensor([1.0000, 2.7183])
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import get_gradient_edge

from foretell.engine.curvature.gradient import Apart, Curvature

__all__ = ["by_two_gradients"]


def by_two_gradients(
    of: Callable[[Tensor], Tensor | None],
    curvature: Curvature,
    func: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """ẏ, or one tangent per result; None for a result that cannot be differentiated.

    The operation is run again on stand-ins for its arguments, so that the gradients pass neither
    through the earlier graph nor from one argument to another. The stand-ins are registered with
    `curvature`.
    """
    leaves: list[Tensor] = []
    tangents: list[Tensor] = []
    edges: list[Any] = []

    def stand_in(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: stand_in(item) for key, item in value.items()}
        if isinstance(value, tuple | list):
            return type(value)(stand_in(item) for item in value)
        tangent = of(value) if isinstance(value, Tensor) else None
        if tangent is None:
            return value
        leaves.append(value.detach().requires_grad_())
        edges.append(get_gradient_edge(value) if value.requires_grad else None)
        tangents.append(tangent)
        return leaves[-1]

    result = func(*stand_in(args), **stand_in(kwargs))
    several = isinstance(result, tuple | list)
    outs = [out for out in (result if several else [result]) if differentiable(out)]
    if not outs:
        return [None] * len(result) if several else None
    directions = [torch.zeros_like(out, requires_grad=True) for out in outs]
    rows = torch.autograd.grad(outs, leaves, directions, create_graph=True, materialize_grads=True)
    slope = torch.stack([(r * t).sum() for r, t in zip(rows, tangents, strict=True)]).sum()
    found = torch.autograd.grad(slope, directions, create_graph=True, materialize_grads=True)
    weights = [tangent for tangent in tangents if tangent.requires_grad]  # their own tangents
    curvature.stand_for(
        [*leaves, *weights], [*edges, *(get_gradient_edge(weight) for weight in weights)]
    )
    mine = (Apart(tangent) for tangent in found)
    if several:
        return [next(mine) if differentiable(out) else None for out in result]
    return next(mine)


def differentiable(out: Any) -> bool:
    """Whether the result can be differentiated."""
    return isinstance(out, Tensor) and out.requires_grad
