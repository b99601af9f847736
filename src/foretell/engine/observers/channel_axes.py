"""Find the axis of a tensor's channels from the operations that computed it.

The shape of an activation does not determine it: a map may be `[N, C, H, W]` or `[N, H, W, C]`, and
a sequence `[N, C, T]` or `[N, T, C]`.
"""

from collections.abc import Iterable
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foretell.batch import tensors
from foretell.engine.by_tensor import ByTensor
from foretell.engine.operations import CONVOLUTIONS, RECURRENT, WEIGHT_AT, words
from foretell.engine.samples.layers import Layer

__all__ = ["PERMUTES", "RESHAPES", "ChannelAxes"]

CHANNELS_SECOND: set[Any] = CONVOLUTIONS | {
    *(F.batch_norm, F.instance_norm, F.group_norm),
    *(torch.batch_norm, torch.instance_norm, torch.group_norm),
}

LEFT_PRODUCTS = words("matmul __matmul__ mm bmm")
"""Products whose left factor may be a matrix of the model."""

RESHAPES = words(
    "view reshape flatten unflatten squeeze unsqueeze view_as reshape_as ravel squeeze_ unsqueeze_"
)

PERMUTES = words("permute transpose swapaxes swapdims movedim moveaxis t transpose_ __get__")


class ChannelAxes:
    """Tracks the tensors that are computed from a model's inputs, and the axis of their channels.

    Layers and normalisations define the axis according to their documentation, and permuting and
    reshaping move it. The result of any other operation has the axis of its first argument.

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
        self._axes = ByTensor[int | None]((tensor, None) for tensor in inputs)
        self._apart = ByTensor[bool]()

    def of(self, x: Tensor) -> int | None:
        """The axis of the channels of a tensor; None if it does not depend on the inputs.

        By default, it is the second axis of a tensor with more than three axes, such as a map `[N,
        C, H, W]` or attention weights `[N, heads, T, T]`, and otherwise the last. A tensor that no
        observed operation has computed counts as dependent on the inputs unless it is a parameter.
        """
        if x.ndim < 2 or self.is_apart(x):
            return None
        axis: int | None = self._axes.get(x)
        if axis is None or axis >= x.ndim:
            axis = 1 if x.ndim > 3 else x.ndim - 1
        return axis

    def is_apart(self, x: Tensor) -> bool:
        """Whether a tensor does not depend on the inputs."""
        return x in self._apart or isinstance(x, nn.Parameter)

    def note(
        self,
        func: Any,
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        out: Any,
        layer: Layer | None = None,
    ) -> None:
        """Record the axis in the result of an operation, or in the argument that it wrote to."""
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
        """Whether unobserved operations computed a tensor; if so, record its default axis."""
        strange = x.grad_fn is not None and x not in self._apart
        if strange:
            self._axes[x] = self.of(x)
        return strange

    def _axis(
        self, func: Any, name: str, args: tuple[Any, ...], first: Tensor, out: Tensor
    ) -> int | None:
        """The axis in the result of an operation, given the axis in its first argument."""
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
    """The position of an axis after a permutation, by its stride; None if it is ambiguous.

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
    """The position of an axis after reshaping; None if it was split or merged.

    >>> reshaped(1, torch.Size([2, 3, 4, 4]), torch.Size([2, 3, 16]))
    1
    >>> reshaped(2, torch.Size([2, 16, 3]), torch.Size([2, 4, 4, 3]))
    3
    """
    ahead = prod(before[:axis])
    places = (k for k in range(len(after)) if after[k] == before[axis])
    return next((k for k in places if prod(after[:k]) == ahead), None)
