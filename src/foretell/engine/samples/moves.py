"""Rules for operations that move entries, such as reshapes; each returns the new layout."""

from typing import Any

import torch
from torch import Tensor

from foretell.engine.samples.layout import Call, Layout, Place, agreed, refolded

__all__ = [
    *("axes_moved", "indexed", "interleaved", "joined", "narrowed", "permuted", "pieces"),
    *("repeated", "reshaped", "reversed_axes", "squeezed", "stacked", "transposed", "windows"),
    *("with_axis", "without_axis"),
]


def transposed(call: Call) -> Place:
    """The layout after two axes are swapped, by default the last two."""
    ((tensor, layout),) = call.placed
    first, second = call.rest("dim0", "dim1", "axis0", "axis1") or (-2, -1)
    pair = [first % tensor.ndim, second % tensor.ndim]
    swapped = {pair[0]: pair[1], pair[1]: pair[0]}
    return layout.at(swapped.get(layout.axis, layout.axis))


def permuted(call: Call) -> Place:
    """The layout after a permutation of all axes."""
    ((tensor, layout),) = call.placed
    order = [axis % tensor.ndim for axis in call.rest("dims")]
    return layout.at(order.index(layout.axis))


def reversed_axes(call: Call) -> Place:
    """The layout after `.T`, which reverses all axes."""
    ((tensor, layout),) = call.placed
    return layout.at(tensor.ndim - 1 - layout.axis)


def axes_moved(call: Call) -> Place:
    """The layout after some axes are moved."""
    ((tensor, layout),) = call.placed
    source, target = call.arg(1, "source"), call.arg(2, "destination")
    pairs = [[axis] if isinstance(axis, int) else list(axis) for axis in (source, target)]
    source, target = ([axis % tensor.ndim for axis in axes] for axes in pairs)
    order = [axis for axis in range(tensor.ndim) if axis not in source]
    for place, axis in sorted(zip(target, source, strict=True)):
        order.insert(place, axis)
    return layout.at(order.index(layout.axis))


def reshaped(call: Call) -> Place:
    """The layout after a reshape or view."""
    ((tensor, layout),) = call.placed
    return refolded(tuple(tensor.shape), layout, tuple(call.out.shape), call.samples)


def repeated(call: Call) -> Place:
    """The layout after the tensor is tiled along each axis; new axes come first."""
    ((tensor, layout),) = call.placed
    times = call.rest("repeats", "dims", "sizes")
    times = [1] * (tensor.ndim - len(times)) + times
    axis = layout.axis + len(times) - tensor.ndim
    return layout.at(axis, layout.outer * times[axis])


def interleaved(call: Call) -> Place:
    """The layout after each entry along an axis is repeated."""
    ((tensor, layout),) = call.placed
    times, axis = call.arg(1, "repeats"), call.arg(2, "dim")
    if axis is None or (axis % tensor.ndim == layout.axis and not isinstance(times, int)):
        return None
    return layout


def windows(call: Call) -> Place:
    """The layout after Tensor.unfold, which puts windows of an axis along a new last axis."""
    ((tensor, layout),) = call.placed
    return layout if call.arg(1, "dimension") % tensor.ndim != layout.axis else None


def indexed(call: Call) -> Place:
    """The layout after `x[...]` with integers, slices, an ellipsis and None.

    It is None (lost) unless all samples are kept.
    """
    tensor, layout = call.placed[0]
    key = call.args[1] if isinstance(call.args[1], tuple) else (call.args[1],)
    if tensor is call.args[1] and tensor.dtype != torch.bool:  # rows of a table
        return layout
    if tensor is not call.args[0] or any(isinstance(k, Tensor | list | bool) for k in key):
        return None
    taken = sum(k is not None and k is not Ellipsis for k in key)
    dots = (slice(None),) * (tensor.ndim - taken)
    at = key.index(Ellipsis) if Ellipsis in key else len(key)
    axis, place = 0, 0
    for k in (*key[:at], *dots, *key[at + 1 :]):
        if k is None:
            place += 1
            continue
        if axis == layout.axis:
            return cut(tensor, place, k, layout, call.samples)
        place += isinstance(k, slice)
        axis += 1
    return None


def cut(tensor: Tensor, axis: int, key: Any, layout: Layout, samples: int) -> Place:
    """The layout after a slice along the axis of the samples, which becomes the given axis."""
    if not isinstance(key, slice):
        return None
    start, stop, step = key.indices(tensor.shape[layout.axis])
    whole = layout.inner(tensor, samples) * samples
    if step != 1 or stop <= start or start % whole or (stop - start) % whole:
        return None
    return layout.at(axis, (stop - start) // whole)


def narrowed(call: Call) -> Place:
    """The layout after `narrow`."""
    ((tensor, layout),) = call.placed
    axis, start, length = call.arg(1, "dim"), call.arg(2, "start"), call.arg(3, "length")
    if axis % tensor.ndim != layout.axis:
        return layout
    return cut(tensor, layout.axis, slice(start, start + length), layout, call.samples)


def pieces(call: Call) -> list[Place]:
    """The layouts after a split along one axis, by default the first."""
    ((tensor, layout),) = call.placed
    axis = call.arg(2, "dim", "axis", default=0) % tensor.ndim
    if axis != layout.axis:
        return [layout] * len(call.out)
    start, places = 0, []
    for piece in call.out:
        stop = start + piece.shape[axis]
        places.append(cut(tensor, axis, slice(start, stop), layout, call.samples))
        start = stop
    return places


def without_axis(call: Call) -> Place:
    """The layout after one entry of an axis is selected, or after `unbind`."""
    ((tensor, layout),) = call.placed
    axis = call.arg(1, "dim", "axis", default=0) % tensor.ndim
    return None if axis == layout.axis else layout.at(layout.axis - (axis < layout.axis))


def with_axis(call: Call) -> Place:
    """The layout after `unsqueeze`."""
    ((_, layout),) = call.placed
    axis = call.arg(1, "dim") % call.out.ndim
    return layout.at(layout.axis + (axis <= layout.axis))


def squeezed(call: Call) -> Place:
    """The layout after `squeeze` of all axes of length 1, or of the given ones."""
    ((tensor, layout),) = call.placed
    given = [axis % tensor.ndim for axis in call.rest("dim")] or range(tensor.ndim)
    gone = sum(axis < layout.axis and tensor.shape[axis] == 1 for axis in given)
    return layout.at(layout.axis - gone)


def joined(call: Call) -> Place:
    """The layout after a concatenation, possibly along the axis of the samples."""
    parts = call.arg(0, "tensors")
    axis = call.arg(1, "dim", "axis", default=0) % call.out.ndim
    if any(layout.axis != axis for _, layout in call.placed):
        return agreed([layout for _, layout in call.placed])
    inner = {layout.inner(tensor, call.samples) for tensor, layout in call.placed}
    if len(call.placed) != len(parts) or len(inner) > 1:
        return None
    outer = sum(layout.outer for _, layout in call.placed)
    return Layout(axis, outer, joined=outer > 1)


def stacked(call: Call) -> Place:
    """The layout after `stack`."""
    axis = call.arg(1, "dim", default=0) % call.out.ndim
    place = agreed([layout for _, layout in call.placed])
    return place.at(place.axis + (axis <= place.axis)) if isinstance(place, Layout) else None
