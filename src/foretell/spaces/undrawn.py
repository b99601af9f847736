"""Layers that draw no weights when they are made; `initialise` will."""

from torch import nn

__all__ = ["Conv2d", "Linear"]


class Conv2d(nn.Conv2d):
    """A convolution with whatever its memory held."""

    def reset_parameters(self) -> None:
        """Leave the memory as it is."""


class Linear(nn.Linear):
    """A linear layer with whatever its memory held."""

    def reset_parameters(self) -> None:
        """Leave the memory as it is."""
