"""The layout of the samples of a batch in a tensor: their axis, and their order along it.

The axis of the samples has `outer` × samples × `inner` entries. If windows of images are folded
into the batch, the `inner` windows of a sample are adjacent. If `outer` views are concatenated, or
`outer` time steps are folded into a batch with the time first, the sequence of samples is repeated.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from math import prod
from typing import Any

from torch import Tensor

__all__ = ["Call", "Layout", "Place", "Rule", "Without", "agreed", "refolded"]


@dataclass(frozen=True)
class Layout:
    """The axis of the samples, and how many times their sequence is repeated along it."""

    axis: int
    outer: int = 1
    joined: bool = False
    """Whether several tensors with all samples were concatenated."""

    def at(self, axis: int, outer: int | None = None) -> "Layout":
        """The same order of samples along another axis."""
        outer = self.outer if outer is None else outer
        return Layout(axis, outer, self.joined and outer > 1)

    def inner(self, tensor: Tensor, samples: int) -> int:
        """The number of adjacent entries along the axis that belong to one sample."""
        return tensor.shape[self.axis] // (self.outer * samples)

    def by_sample(self, tensor: Tensor, samples: int) -> Tensor:
        """The tensor with the samples along its first axis and everything else in the same order.

        >>> import torch
        >>> Layout(0, outer=2).by_sample(torch.tensor([10, 20, 11, 21]), 2)
        tensor([[[10],
                 [11]],
        <BLANKLINE>
                [[20],
                 [21]]])
        """
        if samples == 1:
            return tensor[None]
        if self.outer == 1 and tensor.shape[self.axis] == samples:
            return tensor.movedim(self.axis, 0) if self.axis else tensor
        sizes, axis = tensor.shape, self.axis
        apart = tensor.reshape(*sizes[:axis], self.outer, samples, -1, *sizes[axis + 1 :])
        return apart.movedim(axis + 1, 0)

    def rows(self, tensor: Tensor, samples: int, channel_axes: Sequence[int]) -> Tensor:
        """The tensor as `[samples, positions, channels]`.

        >>> import torch
        >>> Layout(1).rows(torch.ones(7, 8, 3), 8, [2]).shape
        torch.Size([8, 7, 3])
        """
        channels = prod(tensor.shape[axis] for axis in channel_axes)
        tensor = tensor.movedim(tuple(channel_axes), tuple(range(-len(channel_axes), 0)))
        before = sum(axis < self.axis for axis in channel_axes)
        return self.at(self.axis - before).by_sample(tensor, samples).reshape(samples, -1, channels)


class Without(Enum):
    """The reason why a tensor has no axis of samples."""

    COMMON = "the same for all samples"
    """The tensor is not computed from the samples."""
    POOLED = "computed from all samples at once"


Place = Layout | Without | None
"""The layout of a tensor; None if the samples are lost."""


@dataclass
class Call:
    """A finished operation: its arguments, its result, and the layouts of its inputs."""

    func: Any
    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    out: Any
    samples: int
    placed: Sequence[tuple[Tensor, Layout]] = ()
    """The argument tensors with samples, and their layouts."""

    def arg(self, place: int, *names: str, default: Any = None) -> Any:
        """An argument by its position or by one of its names."""
        if place < len(self.args):
            return self.args[place]
        return next((self.kwargs[name] for name in names if name in self.kwargs), default)

    def rest(self, *names: str) -> list[int]:
        """The numbers after the first argument, given separately or as a sequence."""
        given: Any = self.args[1:] or tuple(self.kwargs[n] for n in names if n in self.kwargs)
        if len(given) == 1 and isinstance(given[0], Sequence):
            given = given[0]
        return list(given)


Rule = Callable[[Call], "Place | list[Place]"]
"""A function that returns the layout of the result of an operation, or of each result."""


def agreed(places: Sequence[Place]) -> Place:
    """The common value of all layouts, or None if they differ."""
    first = places[0] if places else None
    return first if len(places) == 1 or all(place == first for place in places) else None


def refolded(
    before: tuple[int, ...], layout: Layout, after: tuple[int, ...], samples: int
) -> Place:
    """The layout after a reshape that keeps the order of the entries.

    >>> refolded((7, 8, 3), Layout(1), (56, 3), 8), refolded((8, 7, 3), Layout(0), (56, 3), 8)
    (Layout(axis=0, outer=7, joined=False), Layout(axis=0, outer=1, joined=False))
    >>> refolded((8, 6), Layout(0), (4, 12), 8)
    """
    entries = prod(before[layout.axis + 1 :])
    inner = before[layout.axis] // (layout.outer * samples) * entries
    outer = prod(before[: layout.axis]) * layout.outer
    for axis, size in enumerate(after):
        behind, ahead = prod(after[axis + 1 :]), prod(after[:axis])
        if size % samples or inner % max(behind, 1) or outer % max(ahead, 1):
            continue
        if outer // ahead * samples * (inner // behind) == size:
            return layout.at(axis, outer // ahead)
    return None
