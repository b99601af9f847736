"""A space without what costs too much."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import nn

from foretell.errors import ForetellError
from foretell.spaces.part import Part
from foretell.spaces.space import Arch, Space

__all__ = ["Within"]

IN_A_ROW = 300
"""So many too costly architectures, and none that is not, end a search."""


@dataclass(frozen=True, eq=False)
class Within(Part):
    """The architectures of a space whose `costs` are within `limits`, by name.

    An architecture whose isomorphs cost less may be left out while they stay. A space must not be
    listed: take the rows that are cheap enough instead. Raises ForetellError when only costly
    architectures come up, which names the least cost seen.

    >>> from foretell.spaces import NASBench201, mutate
    >>> space = Within(NASBench201(), lambda name, arch: arch.count(3), {"convolutions": 1})
    >>> space.is_valid((3, 0, 0, 0, 0, 3)), space.is_valid((3, 0, 0, 0, 0, 2))
    (False, True)
    """

    space: Space
    cost: Callable[[str, Arch], float]
    limits: Mapping[str, float]
    _known: dict[Arch, bool] = field(default_factory=dict, init=False)
    _least: dict[str, float] = field(default_factory=dict, init=False)

    def is_valid(self, arch: Arch) -> bool:
        """Whether it is in the space and within every limit."""
        if arch not in self._known:
            self._known[arch] = self.space.is_valid(arch) and self._cheap(arch)
            if len(self._known) == IN_A_ROW and not any(self._known.values()):
                least = ", ".join(f"{name} is {value:,g}" for name, value in self._least.items())
                raise ForetellError(
                    f"none of {IN_A_ROW:,} architectures of {self.name} is within the limits; the "
                    f"least {least}; raise the limits"
                )
        return self._known[arch]

    def _cheap(self, arch: Arch) -> bool:
        cheap = True
        for name, limit in self.limits.items():
            value = self.cost(name, arch)
            self._least[name] = min(value, self._least.get(name, value))
            cheap = cheap and value <= limit
        return cheap

    def canonical(self, arch: Arch) -> Arch:
        """The whole space's: it may be too costly itself."""
        return self.space.canonical(arch)

    def build(self, arch: Arch, seed: int) -> nn.Module:
        """The whole space's network."""
        return self.space.build(arch, seed)

    def parse(self, text: str) -> Arch:
        """The architecture; raises ForetellError unless it is within the limits too."""
        arch = self.space.parse(text)
        if not self.is_valid(arch):
            raise ForetellError(f"{text} is not within the limits {dict(self.limits)}")
        return arch
