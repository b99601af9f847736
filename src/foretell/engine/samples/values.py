"""Rules for operations that compute values: elementwise operations, products and reductions."""

from collections.abc import Sequence

from torch import Tensor

from foretell.engine.operations import words
from foretell.engine.samples.layout import Call, Layout, Place, Rule, Without, agreed
from foretell.engine.samples.products import Operand, product_of

__all__ = [
    *("attended", "attended_by_heads", "chosen", "contracted", "either", "first_alone"),
    *("first_axis", "leading", "padded", "recurred", "reduced", "rolled", "same_place"),
    *("sorted_along", "transformed"),
]

NORMS = words("norm linalg_vector_norm linalg_norm")
"""Operations whose second argument is the order of the norm instead of the axes."""


def same_place(call: Call) -> Place:
    """An elementwise operation with broadcasting: axes are counted from the last one."""
    out = call.out[0] if isinstance(call.out, tuple | list) else call.out
    places: list[Place] = []
    for tensor, layout in call.placed:
        axis = layout.axis + out.ndim - tensor.ndim
        fits = axis >= 0 and out.shape[axis] == tensor.shape[layout.axis]
        places.append(layout.at(axis) if fits else None)
    return agreed(places)


def first_alone(call: Call) -> Place:
    """An operation whose result has the shape of its first argument."""
    tensor, layout = call.placed[0]
    return layout if tensor is call.args[0] else None


def leading(axes: int) -> Rule:
    """A rule for operations on the last few axes, such as pooling."""

    def rule(call: Call) -> Place:
        ((tensor, layout),) = call.placed
        return layout if layout.axis < tensor.ndim - axes else None

    return rule


def first_axis(call: Call) -> Place:
    """An operation that expects the samples along the first axis."""
    places: list[Place] = [layout if layout.axis == 0 else None for _, layout in call.placed]
    return agreed(places)


def padded(call: Call) -> Place:
    """F.pad, whose argument has two numbers per axis, beginning with the last axis."""
    ((tensor, layout),) = call.placed
    untouched = tensor.ndim - len(call.arg(1, "pad")) // 2
    return layout if layout.axis < untouched else None


def contracted(call: Call) -> Place:
    """A product: the axis of the result that corresponds to the axis of the samples."""
    factors = product_of(call.func, call.name, call.args, call.kwargs, call.out)
    if factors is None:
        return None
    places: list[Place] = []
    for tensor, layout in call.placed:
        axes = next((axes for factor, axes in factors if factor is tensor), None)
        if axes is None:  # a term that is added to the product
            places.append(same_place(call))
            continue
        axis = axes[layout.axis]
        if axis is None:
            axis = mixed(factors, tensor, layout, call.samples)
        places.append(None if axis is None else layout.at(axis))
    return agreed(places)


def mixed(factors: Sequence[Operand], tensor: Tensor, layout: Layout, samples: int) -> int | None:
    """The axis after a square matrix mixes the samples, as for the nodes of a graph."""
    others = [(factor, axes) for factor, axes in factors if factor is not tensor]
    if len(others) != 1 or layout.outer > 1 or tensor.shape[layout.axis] != samples:
        return None
    matrix, axes = others[0]
    kept = [axis for axis in axes if axis is not None]
    return kept[0] if matrix.shape == (samples, samples) and len(kept) == 1 else None


def attended(call: Call) -> Place:
    """Scaled dot-product attention: [..., length, channels], with the length of the query."""
    query = call.args[0]
    places: list[Place] = []
    for tensor, layout in call.placed:
        axis = layout.axis + call.out.ndim - tensor.ndim
        last = call.out.ndim - (1 if tensor is query else 2)
        fits = 0 <= axis < last and call.out.shape[axis] == tensor.shape[layout.axis]
        places.append(layout.at(axis) if fits else None)
    return agreed(places)


def attended_by_heads(call: Call) -> list[Place]:
    """nn.MultiheadAttention: [length, samples, channels], and weights with the samples first."""
    place = agreed([layout for _, layout in call.placed])
    if not isinstance(place, Layout) or call.args[0].ndim != 3:
        return [None, None]
    if place.axis == 1:
        return [place, place.at(0)]
    from_query = any(tensor is call.args[0] for tensor, _ in call.placed)
    return [place if from_query and place.axis == 0 else None, None]


def recurred(call: Call) -> list[Place]:
    """nn.LSTM and similar: outputs like the inputs, and states [layers, samples, channels]."""
    tensor, layout = call.placed[0]
    packed = not isinstance(call.args[3], bool)
    if tensor is not call.args[0] or tensor.ndim != 3 or packed:
        return [None, None, None]
    sample_axis = 0 if call.args[8] else 1
    states = layout.at(1) if layout.axis == sample_axis else None
    output = layout if layout.axis < 2 else None
    return [output, states, states]


def reduced(call: Call) -> Place:
    """A reduction over some axes."""
    tensor, layout = call.placed[0]
    if isinstance(call.arg(1, "other"), Tensor):  # the elementwise maximum of two tensors
        return same_place(call)
    given = call.arg(2 if call.name in NORMS else 1, "dim", "axis")
    if tensor is not call.args[0]:
        return None
    if given is None or isinstance(given, bool):  # over all axes
        return Without.POOLED
    gone = {axis % tensor.ndim for axis in ([given] if isinstance(given, int) else given)}
    if not gone or layout.axis in gone:
        return Without.POOLED
    out = call.out if isinstance(call.out, Tensor) else call.out[0]
    kept = out.ndim == tensor.ndim
    return layout.at(layout.axis - (0 if kept else sum(axis < layout.axis for axis in gone)))


def chosen(call: Call) -> Place:
    """Entries selected along one axis, by indices for each sample or for all."""
    tensor, layout = call.placed[0]
    axis = call.arg(1, "dim") % call.out.ndim
    if tensor is not call.args[0]:  # a table that is indexed by the samples
        return layout.at(axis) if call.name == "index_select" else same_place(call)
    if axis == layout.axis:
        return None
    return layout if call.name == "index_select" else same_place(call)


def either(call: Call) -> Place:
    """torch.where; None for the form that returns indices."""
    return same_place(call) if len(call.args) + len(call.kwargs) == 3 else None


def rolled(call: Call) -> Place:
    """`roll` along the given axes."""
    ((tensor, layout),) = call.placed
    given = call.arg(2 if call.name == "roll" else 1, "dims")
    if given is None:
        return None
    axes = [given] if isinstance(given, int) else given
    return layout if layout.axis not in {axis % tensor.ndim for axis in axes} else None


def transformed(call: Call) -> Place:
    """A Fourier transform along one axis, the last by default, or along the last two."""
    ((tensor, layout),) = call.placed
    given = call.arg(2, "dim", default=(-2, -1) if call.name.endswith("2") else -1)
    axes = {axis % tensor.ndim for axis in ([given] if isinstance(given, int) else given)}
    return layout if layout.axis not in axes else None


def sorted_along(call: Call) -> Place:
    """A sort along one axis, the last by default."""
    ((tensor, layout),) = call.placed
    place = 2 if call.name in ("topk", "kthvalue") else 1
    axis = call.arg(place, "dim", default=-1)
    return layout if axis % tensor.ndim != layout.axis else None
