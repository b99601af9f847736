"""What a model has to fit."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Like:
    """The data a model is built for, and the seed of its weights."""

    classes: int
    shape: tuple[int, ...]
    """Of one sample, such as (3, 32, 32)."""
    seed: int = 0
