"""A zoo of published models in the form of a space whose architectures are names."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from torch import nn

from foretell.batch import Batch
from foretell.data import Splits
from foretell.errors import unknown_name
from foretell.models import fit_batch, load_model
from foretell.models.sources import model_source
from foretell.spaces import Arch, Json, require_valid

__all__ = ["ModelZoo"]


@dataclass(frozen=True)
class ModelZoo:
    """Models by name, as listed by `foretell list models`; an architecture is the number of a name.

    Models are built for the classes of the data, and get images of the size that each requires.
    """

    names: tuple[str, ...]
    splits: Splits

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

    def is_valid(self, arch: Arch) -> bool:
        """Whether `arch` is the number of a name."""
        return isinstance(arch, tuple) and len(arch) == 1 and 0 <= arch[0] < len(self.names)

    def canonical(self, arch: Arch) -> Arch:
        """The architecture itself: no two names stand for the same network."""
        require_valid(self, arch)
        return arch

    def build(self, arch: Arch, seed: int) -> nn.Module:
        """The untrained model."""
        return load_model(self.format(arch), self.splits, seed).train()

    def fit(self, arch: Arch, batch: Batch) -> Batch:
        """The images in the size that this model requires."""
        return fit_batch(batch, self.format(arch), self.splits)

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
        return {"classes": self.splits.classes, "shape": list(self.splits.sample_shape)}
