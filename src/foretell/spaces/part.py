"""What a part of a space has from the whole."""

from foretell.spaces.space import Arch, Json, Space

__all__ = ["Part"]


class Part:
    """The name, choices, texts and settings of the whole, whichever architectures are left."""

    space: Space

    @property
    def name(self) -> str:
        """The whole space's."""
        return self.space.name

    @property
    def choices(self) -> tuple[tuple[str, ...], ...]:
        """The whole space's."""
        return self.space.choices

    def format(self, arch: Arch) -> str:
        """As the whole space writes it."""
        return self.space.format(arch)

    def settings(self) -> dict[str, Json]:
        """The whole space's."""
        return self.space.settings()
