"""A zoo of published models as a space: its architectures are names."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from torch import nn

from foretell.batch import Batch
from foretell.data import Splits
from foretell.errors import unknown_name
from foretell.models import fit_batch, load_model
from foretell.spaces import Arch, Json, require_valid

__all__ = ["ModelZoo"]


@dataclass(frozen=True)
class ModelZoo:
    """Models by name, as `foretell list models` has them; an architecture is one name's number.

    Models are built for the data's classes, and fed images in the size each states it wants.
    """

    names: tuple[str, ...]
    splits: Splits

    name: ClassVar[str] = "models"

    @property
    def choices(self) -> tuple[tuple[str, ...], ...]:
        """One position with all names."""
        return (self.names,)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.names)}

    def is_valid(self, arch: Arch) -> bool:
        """Whether it is the number of a name."""
        return isinstance(arch, tuple) and len(arch) == 1 and 0 <= arch[0] < len(self.names)

    def canonical(self, arch: Arch) -> Arch:
        """Itself: no two names are the same network."""
        require_valid(self, arch)
        return arch

    def build(self, arch: Arch, seed: int) -> nn.Module:
        """The untrained model."""
        return load_model(self.format(arch), self.splits, seed).train()

    def fit(self, arch: Arch, batch: Batch) -> Batch:
        """The images in the size this model wants."""
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

    def settings(self) -> dict[str, Json]:
        """What the models are built for."""
        return {"classes": self.splits.classes, "shape": list(self.splits.sample_shape)}
