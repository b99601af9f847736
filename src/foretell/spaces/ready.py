"""Registered spaces that are a function and the options of its arguments."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import ClassVar

from torch import nn

from foretell.spaces.choices import Choices
from foretell.spaces.settings import IntegerSettings
from foretell.spaces.space import Arch, Json

__all__ = ["ReadyMade"]


@dataclass(frozen=True)
class ReadyMade(IntegerSettings):
    """Base class of spaces such as users define with `Choices`, with settings for the data."""

    options: ClassVar[Mapping[str, tuple[Json, ...]]]
    """The options of each choice."""

    network: ClassVar[Callable[..., nn.Module]]
    """The network of the options and settings, given by name; PyTorch draws the weights."""
    same: ClassVar[Callable[..., Mapping[str, Json]]]
    """The options of the canonical form."""

    @cached_property
    def _choices(self) -> Choices:
        """The same space for this data, as users define theirs."""
        return Choices(
            partial(self.network, **self.settings()), self.options, same=self.same, name=self.name
        )

    @property
    def choices(self) -> tuple[tuple[str, ...], ...]:
        """The options at each position, as text."""
        return self._choices.choices

    def is_valid(self, arch: Arch) -> bool:
        """True for a tuple with the index of an option for each choice."""
        return self._choices.is_valid(arch)

    def canonical(self, arch: Arch) -> Arch:
        """The architecture that `same` describes, which is the same network."""
        return self._choices.canonical(arch)

    def build(self, arch: Arch, seed: int) -> nn.Module:
        """The untrained network in training mode, with PyTorch's initialisation; see `network`."""
        return self._choices.build(arch, seed)

    def format(self, arch: Arch) -> str:
        """The options by name, such as `depth=8,width=32,...`."""
        return self._choices.format(arch)

    def parse(self, text: str) -> Arch:
        """The architecture from its options, with or without names, or from its digits.

        Raises ForetellError for any other text.
        """
        return self._choices.parse(text)
