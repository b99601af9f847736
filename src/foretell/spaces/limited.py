"""A space restricted to the architectures whose costs are within limits."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import nn

from foretell.errors import ForetellError
from foretell.spaces.part import Part
from foretell.spaces.space import Arch, Space, size

__all__ = ["Within"]

TRIALS = 300
"""`Within` raises an error if none of the first 300 architectures is within the limits."""


@dataclass(frozen=True, eq=False)
class Within(Part):
    """The architectures of a space whose costs are within `limits`.

    `cost(name, arch)` must be at most `limits[name]` for each name in `limits`; nan, an
    unknown cost, is not. Isomorphic architectures may differ in cost, so the space may contain some
    of them and not others. `space` must not be a listed space; list only the architectures that are
    cheap enough instead.

    `is_valid` raises ForetellError, with the lowest costs seen, if none of the first 300
    architectures (or of all, if there are fewer) is within the limits.

    >>> from foretell.spaces import NASBench201, mutate
    >>> space = Within(NASBench201(), lambda name, arch: arch.count(3), {"convolutions": 1})
    >>> space.is_valid((3, 0, 0, 0, 0, 3)), space.is_valid((3, 0, 0, 0, 0, 2))
    (False, True)
    """

    space: Space
    cost: Callable[[str, Arch], float]
    limits: Mapping[str, float]
    _known: dict[Arch, bool] = field(default_factory=dict, init=False)
    _costly: set[Arch] = field(default_factory=set, init=False)
    _least: dict[str, float] = field(default_factory=dict, init=False)

    def is_valid(self, arch: Arch) -> bool:
        """Whether `arch` is in the whole space and within every limit."""
        if arch not in self._known:
            known = self.space.is_valid(arch)
            self._known[arch] = known and self._cheap(arch)
            if known and not self._known[arch]:
                self._costly.add(arch)
                self._check()
        return self._known[arch]

    def _check(self) -> None:
        """Raise ForetellError if enough architectures were seen and all of them exceed a limit."""
        tried = len(self._costly)
        if tried == min(TRIALS, size(self.space)) and not any(self._known.values()):
            if unknown := [name for name in self.limits if name not in self._least]:
                raise ForetellError(
                    f"{unknown[0]} has no value for any of {tried:,} architectures of {self.name}; "
                    "give another cost"
                )
            least = ", ".join(f"{name} {value:,g}" for name, value in self._least.items())
            raise ForetellError(
                f"none of {tried:,} architectures of {self.name} is within the limits "
                f"{dict(self.limits)}; the least costs were {least}; raise the limits"
            )

    def _cheap(self, arch: Arch) -> bool:
        cheap = True
        for name, limit in self.limits.items():
            value = self.cost(name, arch)
            if not math.isnan(value):
                self._least[name] = min(value, self._least.get(name, value))
            cheap = cheap and value <= limit
        return cheap

    def canonical(self, arch: Arch) -> Arch:
        """The canonical form of `arch` in the whole space, which may exceed the limits itself."""
        return self.space.canonical(arch)

    def build(self, arch: Arch, seed: int) -> nn.Module:
        """The network of `arch`, built by the whole space."""
        return self.space.build(arch, seed)

    def parse(self, text: str) -> Arch:
        """The architecture from its text; raises ForetellError if it is not within the limits."""
        arch = self.space.parse(text)
        if not self.is_valid(arch):
            raise ForetellError(
                f"{text} is not within the limits {dict(self.limits)}; "
                f"raise the limits or give another architecture"
            )
        return arch
