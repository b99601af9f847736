"""Training: how a network is trained, in full or reduced, and what came of it."""

from foretell.training.settings import TrainSettings

__all__ = ["TrainSettings"]
