"""Training of networks, in full or reduced."""

from foretell.training.settings import TrainSettings

__all__ = ["TrainSettings"]
