"""The members that a part of a space shares with the whole space."""

from foretell.spaces.space import Arch, Json, Space

__all__ = ["Part"]


class Part:
    """Base class of spaces that contain some of the architectures of the whole space `space`."""

    space: Space

    @property
    def name(self) -> str:
        """The name of the whole space."""
        return self.space.name

    @property
    def choices(self) -> tuple[tuple[str, ...], ...]:
        """The choices of the whole space."""
        return self.space.choices

    def format(self, arch: Arch) -> str:
        """The text of `arch` in the whole space."""
        return self.space.format(arch)

    def settings(self) -> dict[str, Json]:
        """The settings of the whole space."""
        return self.space.settings()
