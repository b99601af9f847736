"""What is known of a proxy."""

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
    """A proxy and what is known of it."""

    function: Callable[..., Tensor]
    source: str
    higher_is_better: bool = True
    bound: str = ""
    """The largest or smallest value it can take, in words; empty when it has none."""
    draws: bool = False
    """It draws random numbers of its own: another seed gives another value for any model."""

    @property
    def name(self) -> str:
        """The function's own name."""
        return self.function.__name__

    @property
    def summary(self) -> str:
        """The first line of the function's docstring."""
        return first_line(self.function)

    @cached_property
    def needs(self) -> tuple[str, ...]:
        """The quantities it asks for: its parameters without a default."""
        parameters = inspect.signature(self.function).parameters.values()
        return tuple(p.name for p in parameters if p.default is p.empty)

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """Its settings and their defaults: its parameters with one."""
        parameters = inspect.signature(self.function).parameters.values()
        return MappingProxyType({p.name: p.default for p in parameters if p.default is not p.empty})


PROXIES: dict[str, Proxy] = {}
"""All proxies by name: foretell's own, and what `register` adds."""
