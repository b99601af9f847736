"""Some of a space's architectures as a space, such as those that a table has accuracies of."""

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
    """The space cut down to `archs`; one edit leads to one of the `edits` nearest of them.

    Nearest are those that differ at the fewest positions, the first listed of equals: where few
    of a space are left, single changes would mostly lead out of them.

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
                f"a subset of {len(self.archs)} architectures with {self.edits} edits has nowhere "
                "to go; give at least 2 and 1"
            )
        if len(self._numbers) < len(self.archs):
            raise ForetellError("a subset names an architecture twice; give each once")

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
        """All of them."""
        return self.archs

    def near(self, arch: Arch) -> Iterable[Arch]:
        """The `edits` others that differ from it at the fewest positions."""
        differing = (self._matrix != np.array(arch, dtype=np.int16)).sum(axis=1)
        differing[self._numbers[arch]] = np.iinfo(differing.dtype).max
        nearest = np.argsort(differing, kind="stable")[: min(self.edits, len(self.archs) - 1)]
        return (self.archs[number] for number in nearest)

    def is_valid(self, arch: Arch) -> bool:
        """Whether it is one of them."""
        return arch in self._numbers

    def canonical(self, arch: Arch) -> Arch:
        """The first listed of the class of architectures isomorphic to it."""
        require_valid(self, arch)
        return self._canonical[arch]

    def build(self, arch: Arch, seed: int) -> nn.Module:
        """The whole space's network."""
        require_valid(self, arch)
        return self.space.build(arch, seed)

    def graph(self, arch: Arch) -> Graph:
        """The whole space's graph."""
        return graph_of(self.space, arch)

    def parse(self, text: str) -> Arch:
        """One of them from its text. Raises ForetellError for any other."""
        arch = self.space.parse(text)
        if not self.is_valid(arch):
            raise ForetellError(f"{text} is not among the {len(self.archs)} architectures listed")
        return arch
