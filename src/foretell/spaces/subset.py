"""A space of selected architectures of another space, such as those of a table."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from torch import nn

from foretell.errors import ForetellError
from foretell.spaces.graph import Graph, graph_of
from foretell.spaces.part import Part
from foretell.spaces.space import Arch, Space, require_valid

__all__ = ["Subset"]


@dataclass(frozen=True, eq=False)
class Subset(Part):
    """The architectures `archs` of a space; the neighbours of each are the `edits` nearest others.

    The nearest architectures are those that differ at the fewest positions; ties are broken by the
    order of the list. In a small subset, changing a single position would mostly lead out of it.

    >>> from foretell.spaces import NASBench201, mutate
    >>> space = NASBench201()
    >>> few = Subset(space, [space.parse(text) for text in ("000000", "000001", "444444")], edits=1)
    >>> [space.format(arch)[:20] for arch in few.near(few.archs[0])]
    ['|none~0|+|none~0|non']
    """

    space: Space
    archs: Sequence[Arch]
    edits: int = 24

    def __post_init__(self) -> None:
        if len(self.archs) < 2 or self.edits < 1:
            raise ForetellError(
                f"a subset has {len(self.archs)} architectures and edits is {self.edits}; "
                "give at least 2 architectures, and edits of at least 1"
            )
        if len(self._numbers) < len(self.archs):
            raise ForetellError("a subset contains an architecture twice; give each once")

    @cached_property
    def _numbers(self) -> dict[Arch, int]:
        return {arch: number for number, arch in enumerate(self.archs)}

    @cached_property
    def _canonical(self) -> dict[Arch, Arch]:
        first: dict[Arch, Arch] = {}
        return {arch: first.setdefault(self.space.canonical(arch), arch) for arch in self.archs}

    @cached_property
    def _matrix(self) -> "np.ndarray[tuple[int, int], np.dtype[np.int16]]":
        return np.array(self.archs, dtype=np.int16)

    def listed(self) -> Sequence[Arch]:
        """All architectures of the subset, in the order given."""
        return self.archs

    def near(self, arch: Arch) -> Iterable[Arch]:
        """The `edits` other architectures that differ from `arch` at the fewest positions."""
        differing = (self._matrix != np.array(arch, dtype=np.int16)).sum(axis=1)
        differing[self._numbers[arch]] = np.iinfo(differing.dtype).max
        nearest = np.argsort(differing, kind="stable")[: min(self.edits, len(self.archs) - 1)]
        return (self.archs[number] for number in nearest)

    def is_valid(self, arch: Arch) -> bool:
        """Whether `arch` is in the subset."""
        return arch in self._numbers

    def canonical(self, arch: Arch) -> Arch:
        """The first architecture of the list that is isomorphic to `arch`."""
        require_valid(self, arch)
        return self._canonical[arch]

    def build(self, arch: Arch, seed: int) -> nn.Module:
        """The network of `arch`, built by the whole space."""
        require_valid(self, arch)
        return self.space.build(arch, seed)

    def graph(self, arch: Arch) -> Graph:
        """The graph of `arch` in the whole space."""
        return graph_of(self.space, arch)

    def parse(self, text: str) -> Arch:
        """The architecture from its text; raises ForetellError if it is not in the subset."""
        arch = self.space.parse(text)
        if not self.is_valid(arch):
            raise ForetellError(
                f"{text} is not among the {len(self.archs)} architectures listed; give one of them"
            )
        return arch
