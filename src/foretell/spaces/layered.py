"""Spaces of networks with a varying number of layers, each with options of its own.

An architecture is the number of layers, the options of the whole network, and the options of each
layer, up to the largest number of layers. Those of layers beyond the number of layers are unused.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar, TypeAlias

from torch import nn

from foretell.errors import ForetellError
from foretell.spaces.space import Arch, Json, is_chosen, require_valid

__all__ = ["Layered", "Options"]

Options: TypeAlias = tuple[tuple[str, ...], ...]


class Layered(ABC):
    """Base class of these spaces.

    The text of an architecture has the options of the whole network and then those of each layer,
    such as `4/4:2/8:4`. If an unused layer has other options than the first ones, a plus sign and
    the unused layers follow: `4/4:2/8:4+2:4`.
    """

    name: ClassVar[str]
    example: ClassVar[str]
    """An architecture, as text."""

    @property
    @abstractmethod
    def depths(self) -> Sequence[int]:
        """The numbers of layers, in ascending order."""

    @property
    @abstractmethod
    def whole(self) -> Options:
        """The options of each choice for the whole network."""

    @property
    @abstractmethod
    def each(self) -> Options:
        """The options of each choice for a layer."""

    @abstractmethod
    def build(self, arch: Arch, seed: int) -> nn.Module:
        """The untrained network in training mode."""

    @abstractmethod
    def settings(self) -> dict[str, Json]:
        """The settings to rebuild this space with."""

    @cached_property
    def choices(self) -> Options:
        """The number of layers, the choices for the whole network, and those for each layer."""
        return (tuple(map(str, self.depths)), *self.whole, *self.each * self.depths[-1])

    def is_valid(self, arch: Arch) -> bool:
        """True for one option of each choice; every combination is allowed."""
        return is_chosen(self.choices, arch)

    def canonical(self, arch: Arch) -> Arch:
        """The architecture with the first option at every place of the unused layers."""
        require_valid(self, arch)
        used = 1 + len(self.whole) + self.depths[arch[0]] * len(self.each)
        return (*arch[:used], *(0,) * (len(arch) - used))

    def chosen(self, arch: Arch) -> tuple[list[str], list[list[str]]]:
        """The options of the whole network, and those of each layer that is used."""
        require_valid(self, arch)
        whole, *layers = self._texts(arch)
        return whole, layers[: self.depths[arch[0]]]

    def _texts(self, arch: Arch) -> list[list[str]]:
        """The options of the whole network, and those of each layer, used or not."""
        _, *texts = (options[one] for options, one in zip(self.choices, arch, strict=True))
        first, step = len(self.whole), len(self.each)
        starts = range(first, len(texts), step)
        return [texts[:first], *(texts[start : start + step] for start in starts)]

    def format(self, arch: Arch) -> str:
        """The options of the network and of each layer, such as `4/4:2/8:4`."""
        require_valid(self, arch)
        texts = [":".join(options) for options in self._texts(arch)]
        used = 1 + self.depths[arch[0]]
        unused = "" if arch == self.canonical(arch) else "+" + "/".join(texts[used:])
        return "/".join(texts[:used]) + unused

    def parse(self, text: str) -> Arch:
        """The architecture from its text; raises ForetellError for any other text."""
        used, _, unused = text.strip().partition("+")
        whole, *layers = (part.split(":") for part in used.split("/"))
        layers += [part.split(":") for part in unused.split("/") if unused]
        try:
            depth = self.depths.index(used.count("/"))
            arch = (depth, *_indices(self.whole, whole))
            for layer in layers:
                arch += tuple(_indices(self.each, layer))
        except ValueError:
            raise self._refusal(text) from None
        arch += (0,) * (len(self.choices) - len(arch))
        if not self.is_valid(arch) or self.format(arch) != text.strip():
            raise self._refusal(text)
        return arch

    def _refusal(self, text: str) -> ForetellError:
        few, many = self.depths[0], self.depths[-1]
        return ForetellError(
            f"{text[:60]!r} is not a network of {self.name}; expected {_shown(self.whole)}, then a "
            f"slash and {_shown(self.each)} for each of {few} to {many} layers, such as "
            f"{self.example}"
        )


def _indices(choices: Options, texts: Sequence[str]) -> list[int]:
    """The index of each text among its options; raises ValueError if there is none."""
    return [options.index(text) for options, text in zip(choices, texts, strict=True)]


def _shown(choices: Options) -> str:
    """The options of each choice, with colons between the choices.

    >>> _shown((("2", "4"), ("1", "2", "3", "4", "5")))
    '2|4:1|2|...|5'
    """
    return ":".join(
        "|".join(options if len(options) < 5 else (*options[:2], "...", options[-1]))
        for options in choices
    )
