"""Train networks, in full or with EcoNAS's reduced settings."""

from foretell.training.settings import TrainSettings

__all__ = ["TrainSettings"]
