"""The settings of spaces, and their checks."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import ClassVar

from foretell.errors import ForetellError
from foretell.spaces.space import Json

__all__ = [
    "IntegerSettings",
    "require_flag",
    "require_integers",
    "require_option",
    "require_rate",
]


DEPTHS = ("cells", "stacks", "modules", "layers", "nodes")
DEEPEST, WIDEST = 1_000, 1_000_000
"""The largest values accepted; no machine has the time or memory to build a larger network."""


def require_integers(space: str, settings: Mapping[str, object], least: int = 1) -> None:
    """Raise ForetellError for a setting that is not an integer, or is too small or too large.

    >>> require_integers("nb201", {"channels": 16, "cells": 0})
    Traceback (most recent call last):
    foretell.errors.ForetellError: nb201: cells is 0; give an integer of at least 1
    """
    for name, value in settings.items():
        if type(value) is not int or value < least:
            raise ForetellError(
                f"{space}: {name} is {value!r}; give an integer of at least {least}"
            )
        if value > (most := DEEPEST if name in DEPTHS else WIDEST):
            raise ForetellError(f"{space}: {name} is {value}; give at most {most}")


def require_rate(space: str, name: str, value: object) -> None:
    """Raise ForetellError for a rate that is not a number from 0 to below 1."""
    if not (type(value) in (int, float) and 0 <= value < 1):  # type: ignore[operator]
        raise ForetellError(f"{space}: {name} is {value!r}; give a rate in 0 <= rate < 1")


def require_flag(space: str, name: str, value: object) -> None:
    """Raise ForetellError for a setting that is not true or false."""
    if type(value) is not bool:
        raise ForetellError(f"{space}: {name} is {value!r}; give true or false")


def require_option(space: str, name: str, value: object, options: Sequence[str]) -> None:
    """Raise ForetellError for a setting that is none of the options.

    >>> require_option("gpt", "positions", "learnt", ["learned", "rotary"])
    Traceback (most recent call last):
    foretell.errors.ForetellError: gpt: positions is 'learnt'; give learned or rotary
    """
    if value not in options:
        raise ForetellError(f"{space}: {name} is {value!r}; give {' or '.join(options)}")


@dataclass(frozen=True)
class IntegerSettings:
    """The base class of spaces whose settings are positive integers."""

    name: ClassVar[str]

    def __post_init__(self) -> None:
        require_integers(self.name, asdict(self))

    def settings(self) -> dict[str, Json]:
        """The value of every field, by name."""
        return asdict(self)
