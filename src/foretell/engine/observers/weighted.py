"""Which weight an operation multiplies a signal with: what makes it a layer."""

from collections.abc import Container
from typing import Any

from torch import Tensor

from foretell.engine.operations import CONVOLUTIONS, MATRIX_PRODUCTS, RECURRENT, WEIGHT_AT

__all__ = ["channel_axis_of", "weight_used"]


def weight_used(
    func: Any,
    name: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    counted: Container[int],
    *,
    only_these: bool,
) -> Tensor | None:
    """The weight that the operation uses, None if it is no layer with a weight that counts.

    `counted` has the `id` of every weight that counts; unless `only_these` do, a weight that is
    computed from parameters counts as well. A recurrent layer's is that of its first input gates.
    """
    weight: Any = None
    if func in WEIGHT_AT:
        at = WEIGHT_AT[func]
        weight = args[at] if len(args) > at else kwargs.get("weight", kwargs.get("out_proj_weight"))
    elif func in MATRIX_PRODUCTS:
        weight = next((arg for arg in args if id(arg) in counted), None)
    elif name in RECURRENT:
        weight = args[3][0] if isinstance(args[1], Tensor) and len(args) > 9 else args[2][0]
    if not isinstance(weight, Tensor):
        return None
    computed = weight.grad_fn is not None and not only_these
    return weight if computed or id(weight) in counted else None


def channel_axis_of(func: Any) -> int:
    """The axis of the channels in the output of a layer: the second of a convolution, else last."""
    return 1 if func in CONVOLUTIONS else -1
