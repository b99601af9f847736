"""Recognise layers by their operations, and find the channels of their outputs."""

from collections.abc import Collection
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from foretell.batch import tensors
from foretell.engine.operations import CONVOLUTIONS, JOINS, RECURRENT, SUMS, words
from foretell.engine.samples.products import Operand, product_of
from foretell.engine.samples.rules import ONTO_FIRST

__all__ = ["Layer", "layer_of", "multiplies"]

CELLS = words("lstm_cell gru_cell rnn_tanh_cell rnn_relu_cell")

WEIGHT_LAST = words("linear bilinear embedding embedding_bag")
"""Operations whose last operand is always the weight."""

ADDED = (
    SUMS.keys()
    | JOINS
    | ONTO_FIRST
    | words("rsub __rsub__ __iadd__ __isub__ where masked_fill copy maximum minimum __setitem__")
)
"""Operations that add a weight to a signal or concatenate the two, so it has no output."""


@dataclass(frozen=True)
class Layer:
    """A layer: its number of weights, and the axes of its output that are channels."""

    of: tuple[int, ...]
    """The ids of the layer's weights."""
    weights: int
    channel_axes: tuple[int, ...]
    channels: int

    @property
    def fan_in(self) -> int:
        """The number of weights per channel."""
        return self.weights // max(self.channels, 1)


def layer(output: Tensor, of: Collection[int], weight: Tensor, axes: tuple[int, ...]) -> Layer:
    """The layer with this output and weight."""
    number = prod(size for size, own in zip(weight.shape, own_axes(weight), strict=True) if own)
    return Layer(tuple(of), number, axes, prod(output.shape[axis] for axis in axes))


def own_axes(weight: Tensor) -> list[bool]:
    """For each axis, whether its entries are distinct in memory (not so after `expand`)."""
    if weight.layout != torch.strided:
        return [True] * weight.ndim
    return [stride != 0 for stride in weight.stride()]


def layer_of(
    func: Any,
    name: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    out: Any,
    used: Collection[int],
) -> Layer | None:
    """The layer that an operation computes; None if the operation is not a layer.

    `used` contains the ids of the arguments that are weights or made of weights.
    """
    output = out[0] if isinstance(out, tuple | list) else out
    last = (output.ndim - 1,)
    if func is F.multi_head_attention_forward:
        return layer(output, used, args[11], last)
    if name in RECURRENT:
        lists = (arg for arg in args if isinstance(arg, list | tuple))
        weights = next(some for some in lists if any(id(tensor) in used for tensor in some))
        return layer(output, used, weights[0], last)
    if name in CELLS:
        return layer(output, used, args[2], last)
    if name in ("__getitem__", "index_select"):
        return looked_up(name, args, kwargs, output, used)
    factors = product_of(func, name, args, kwargs, out)
    if factors is None:
        return None
    explicit = name in WEIGHT_LAST or func in CONVOLUTIONS
    return product_layer(output, weight_factors(factors, used, explicit=explicit), factors)


def weight_factors(
    factors: list[Operand], used: Collection[int], *, explicit: bool
) -> list[Operand]:
    """The operands that are weights."""
    weights = [factor for factor in factors if id(factor[0]) in used]
    if explicit and id(factors[-1][0]) in used:
        return factors[-1:]
    if len(weights) == len(factors) and factors[0][0].ndim > 2 == factors[-1][0].ndim:
        return factors[-1:]  # a table of weights for each sample, and a matrix
    return weights


def product_layer(output: Tensor, weights: list[Operand], factors: list[Operand]) -> Layer | None:
    """The layer of a product that sums over some axis of the weight."""
    if not 0 < len(weights) < len(factors) or any(None not in axes for _, axes in weights):
        return None
    kept = {
        axis
        for weight, axes in weights
        for axis, size, own in zip(axes, weight.shape, own_axes(weight), strict=True)
        if axis is not None and size > 1 and own
    }
    ids = [id(weight) for weight, _ in weights]
    return layer(output, ids, weights[0][0], tuple(sorted(kept)))


def looked_up(
    name: str, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor, used: Collection[int]
) -> Layer | None:
    """The layer of a selection of rows of a weight, as in an embedding."""
    weight, *rest = (*args, *kwargs.values())
    if id(weight) not in used:
        return None
    if name == "index_select":
        axis, index = rest[0] % weight.ndim, rest[1]
        axes = tuple(place for place in range(weight.ndim) if place != axis)
    else:
        axis, index = 0, rest[0]
        axes = tuple(range(output.ndim - weight.ndim + 1, output.ndim))
    if not isinstance(index, Tensor) or index.is_floating_point():
        return None
    return layer(output, [id(weight)], weight, axes)


def multiplies(
    name: str, args: tuple[Any, ...], kwargs: dict[str, Any], used: Collection[int]
) -> bool:
    """Whether an operation other than a layer uses a weight, except by adding it."""
    plain = name if name.startswith("__") else name.removesuffix("_")
    if plain in ADDED:
        return False
    factors = args[:3] if plain == "scaled_dot_product_attention" else (args, kwargs)  # no mask
    return any(id(tensor) in used for tensor in tensors(list(factors)))
