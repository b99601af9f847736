"""A proxy and its metadata."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

from torch import Tensor

from foretell.names import first_line

__all__ = ["PROXIES", "Proxy"]


@dataclass(frozen=True)
class Proxy:
    """A proxy and its metadata."""

    function: Callable[..., Tensor]
    source: str
    higher_is_better: bool = True
    bound: str = ""
    """The largest or smallest possible value, in words; empty if unbounded."""
    draws: bool = False
    """Whether the proxy draws random numbers, so that the value depends on the seed for any
    model."""
    origin: str = ""
    """The `FILE.py:NAME` from which other processes load the proxy; empty if it is not from a
    file."""

    @property
    def name(self) -> str:
        """The name of the function."""
        return self.function.__name__

    @property
    def address(self) -> str:
        """The name by which any process can find the proxy."""
        return self.origin or self.name

    @property
    def summary(self) -> str:
        """The first line of the docstring of the function."""
        return first_line(self.function)

    @cached_property
    def needs(self) -> tuple[str, ...]:
        """The quantities that the proxy needs: its parameters without a default."""
        parameters = inspect.signature(self.function).parameters.values()
        return tuple(p.name for p in parameters if p.default is p.empty)

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """The settings of the proxy with their defaults: its parameters with a default."""
        parameters = inspect.signature(self.function).parameters.values()
        return MappingProxyType({p.name: p.default for p in parameters if p.default is not p.empty})


PROXIES: dict[str, Proxy] = {}
"""All proxies by name: those of foretell, and those added by `register`."""
