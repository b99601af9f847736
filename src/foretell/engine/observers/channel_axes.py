"""Which axis of a tensor its channels lie along, by the operations that it comes from.

An activation does not say: a map may be `[N, C, H, W]` or `[N, H, W, C]`, a sequence `[N, C, T]` or
`[N, T, C]`.
"""

from collections.abc import Iterable
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from foretell.batch import tensors
from foretell.engine.operations import CONVOLUTIONS, RECURRENT, WEIGHT_AT, words
from foretell.engine.samples.layers import Layer

__all__ = ["ChannelAxes"]

CHANNELS_SECOND: set[Any] = CONVOLUTIONS | {
    *(F.batch_norm, F.instance_norm, F.group_norm),
    *(torch.batch_norm, torch.instance_norm, torch.group_norm),
}

LEFT_PRODUCTS = words("matmul __matmul__ mm bmm")
"""Products in which a matrix of the model's own may stand on the left."""

RESHAPES = words(
    "view reshape flatten unflatten squeeze unsqueeze view_as reshape_as ravel squeeze_ unsqueeze_"
)

PERMUTES = words("permute transpose swapaxes swapdims movedim moveaxis t transpose_ __get__")


class ChannelAxes:
    """What is computed from the inputs of a model, and the axis of the channels in each tensor.

    A layer and a normalisation define the axis, as documented for them; permuting and reshaping
    move it; what is computed otherwise has it where its first factor or term has it.

    >>> x, w = torch.ones(2, 3, 4, 4), nn.Parameter(torch.ones(5, 3, 1, 1))
    >>> axes = ChannelAxes([x])
    >>> y = torch.conv2d(x, w)
    >>> axes.note(torch.conv2d, "conv2d", (x, w), {}, y)
    >>> z = y.permute(0, 2, 3, 1)
    >>> axes.note(torch.permute, "permute", (y, (0, 2, 3, 1)), {}, z)
    >>> axes.of(y), axes.of(z), axes.of(w)
    (1, 3, None)
    """

    def __init__(self, inputs: Iterable[Tensor]) -> None:
        self._axes = WeakTensorKeyDictionary(dict.fromkeys(inputs, None))
        self._apart = WeakTensorKeyDictionary()

    def of(self, x: Tensor) -> int | None:
        """The axis of the channels; None if the tensor does not depend on the inputs.

        Where nothing says, it is the second of a map `[N, C, H, W]`, else the last: of attention
        weights `[N, heads, T, T]`, the heads are the channels. What no seen
        operation has made is taken to depend on the inputs, unless it is a parameter.
        """
        if x.ndim < 2 or x in self._apart or isinstance(x, nn.Parameter):
            return None
        axis: int | None = self._axes.get(x)  # type: ignore[no-untyped-call]
        if axis is None or axis >= x.ndim:
            axis = 1 if x.ndim > 3 else x.ndim - 1
        return axis

    def note(
        self,
        func: Any,
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        out: Any,
        layer: Layer | None = None,
    ) -> None:
        """Note what an operation, perhaps a layer, returned, or wrote to its first argument."""
        given = [t for t in tensors([args, kwargs]) if t in self._axes or self._is_strange(t)]
        made = [args[0]] if name == "__setitem__" else tensors(out)
        if not given:
            self._apart.update((t, True) for t in made if t not in self._axes)
            return
        for tensor in made:
            if tensor in self._apart:
                del self._apart[tensor]
            self._axes[tensor] = self._axis(func, name, args, given[0], tensor)
        if layer is not None and len(layer.channel_axes) == 1:
            self._axes[made[0]] = layer.channel_axes[0]

    def _is_strange(self, x: Tensor) -> bool:
        """Whether this was computed out of sight; then it is noted with the axis that is usual."""
        strange = x.grad_fn is not None and x not in self._apart
        if strange:
            self._axes[x] = self.of(x)
        return strange

    def _axis(
        self, func: Any, name: str, args: tuple[Any, ...], first: Tensor, out: Tensor
    ) -> int | None:
        """The axis in an operation's result, from that in the first tensor that it was given."""
        if func in CHANNELS_SECOND:
            return 1
        if func in WEIGHT_AT or name in RECURRENT or func in (F.layer_norm, F.rms_norm):
            return out.ndim - 1
        axis: int | None = self._axes[first]
        if name in LEFT_PRODUCTS:
            if args[0] is first:
                return out.ndim - 1
            return None if axis is None else axis + out.ndim - first.ndim
        if axis is None or out is first:
            return axis
        if name in PERMUTES:
            return moved(axis, first, out)
        if name in RESHAPES or out.ndim != first.ndim:
            return reshaped(axis, first.shape, out.shape)
        return axis


def moved(axis: int, before: Tensor, after: Tensor) -> int | None:
    """Where an axis is after a permutation, by its stride; None if that does not tell.

    >>> x = torch.ones(2, 3, 4)
    >>> moved(1, x, x.permute(0, 2, 1))
    2
    """
    if after.ndim != before.ndim:
        return None
    mark = (before.stride(axis), before.shape[axis])
    places = [k for k in range(after.ndim) if (after.stride(k), after.shape[k]) == mark]
    return places[0] if len(places) == 1 else None


def reshaped(axis: int, before: torch.Size, after: torch.Size) -> int | None:
    """Where an axis is after reshaping: at its size behind as many numbers; None if nowhere.

    >>> reshaped(1, torch.Size([2, 3, 4, 4]), torch.Size([2, 3, 16]))
    1
    >>> reshaped(2, torch.Size([2, 16, 3]), torch.Size([2, 4, 4, 3]))
    3
    """
    ahead = prod(before[:axis])
    places = (k for k in range(len(after)) if after[k] == before[axis])
    return next((k for k in places if prod(after[:k]) == ahead), None)
