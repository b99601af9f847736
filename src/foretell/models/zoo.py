"""A list of models by name as a space, in which single models may fail."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

from torch import nn

from foretell.batch import Batch
from foretell.checks import as_texts
from foretell.data import Splits
from foretell.errors import ForetellError, unknown_name
from foretell.models import expand_models, model_like, wanted_input
from foretell.models.fit import as_wanted
from foretell.models.sources import model_source
from foretell.models.spaces import space_for
from foretell.models.specs import Like
from foretell.names import parse_spec
from foretell.spaces import Arch, Json, Space, as_space, require_valid

__all__ = ["ModelZoo", "as_searched"]


@dataclass(frozen=True)
class ModelZoo:
    """Models by name, as listed by `foretell list models`; an architecture is the number of a name.

    Models are built for the classes of the data, and receive images of the size that they require.
    """

    names: tuple[str, ...]
    like: Like

    name: ClassVar[str] = "models"

    @property
    def choices(self) -> tuple[tuple[str, ...], ...]:
        """A single choice among all names."""
        return (self.names,)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.names)}

    @cached_property
    def _sources(self) -> dict[Arch, str]:
        return {}

    @property
    def digest(self) -> str:
        """A digest of the names, which the choices of a search depend on."""
        return hashlib.sha256("\n".join(self.names).encode()).hexdigest()[:16]

    def is_valid(self, arch: Arch) -> bool:
        """Whether `arch` is the number of a name."""
        return isinstance(arch, tuple) and len(arch) == 1 and 0 <= arch[0] < len(self.names)

    def canonical(self, arch: Arch) -> Arch:
        """The architecture itself, since no two names denote the same network."""
        require_valid(self, arch)
        return arch

    def build(self, arch: Arch, seed: int) -> nn.Module:
        """The untrained model."""
        return model_like(self.format(arch), replace(self.like, seed=seed)).train()

    def fit(self, arch: Arch, batch: Batch) -> Batch:
        """The images resized to the size that this model requires."""
        wanted = wanted_input(self.format(arch), self.like)
        return as_wanted(batch, wanted, self.like.vocabulary, self.like.seed)

    def parse(self, text: str) -> Arch:
        """The number of a name."""
        if text not in self._numbers:
            raise unknown_name("model", text, self.names, f"the zoo has no {text!r}")
        return (self._numbers[text],)

    def format(self, arch: Arch) -> str:
        """The name."""
        require_valid(self, arch)
        return self.names[arch[0]]

    def source(self, arch: Arch) -> str:
        """The digest of the user's code that builds the model; empty for a registered source."""
        if arch not in self._sources:
            self._sources[arch] = model_source(self.format(arch))
        return self._sources[arch]

    def settings(self) -> dict[str, Json]:
        """The properties of the data that models are built for."""
        return {"classes": self.like.classes, "shape": list(self.like.shape)}


def as_searched(space: str | Sequence[str] | Space, splits: Splits) -> Space:
    """The space to search, given by name, as an object, or as a list of models by name or `@FILE`.

    Raises ForetellError for an unknown name, and if the networks cannot read the data.

    >>> from foretell.data import load_data
    >>> names = ["nb201:333013", "torchvision:resnet1*"]
    >>> as_searched(names, load_data("digits")).choices
    (('nb201:333013', 'torchvision:resnet18', 'torchvision:resnet101', 'torchvision:resnet152'),)
    """
    if isinstance(space, str) and not space.startswith("@"):
        return space_for(*parse_spec(space), splits)
    if not isinstance(space, str | list | tuple):
        return as_space(space)
    names = expand_models([space] if isinstance(space, str) else as_texts("space", space, "models"))
    if not names:
        raise ForetellError("space is empty; give at least one model by name")
    return ModelZoo(tuple(names), Like.of(splits))
