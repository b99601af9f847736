"""Proxies of the user's own: registered by a call, or by an installed package.

A package announces its proxies as entry points, `name = "module:object"` in the group
`foretell.proxies`, whose object is the proxy's function decorated with `register`, or any module
that registers some when it is imported.
"""

import inspect
from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points
from typing import TypeVar

from torch import Tensor

from foretell.errors import ForetellError, unknown_name
from foretell.proxies.proxy import PROXIES, Proxy
from foretell.proxies.quantities import QUANTITIES

__all__ = ["GROUP", "load_plugins", "register", "unregister"]

GROUP = "foretell.proxies"


Function = TypeVar("Function", bound=Callable[..., Tensor])


def register(
    *, source: str, higher_is_better: bool = True, bound: str = "", draws: bool = False
) -> Callable[[Function], Function]:
    """Make a function a proxy under its own name; the function itself stays as it is.

    Its parameters without a default name the quantities it needs (`foretell list quantities`), the
    others are its settings. Where it is undefined it raises ArithmeticError with the reason.

    Raises ForetellError for an unknown quantity, a name that is taken, or a missing docstring.

    >>> import torch
    >>> @register(source="an example")
    ... def mean_weight(weights: dict[str, Tensor]) -> Tensor:
    ...     \"\"\"Mean of |w| over all weights.\"\"\"
    ...     return torch.cat([w.abs().flatten() for w in weights.values()]).mean()
    >>> from foretell import score
    >>> from torch import nn, ones, zeros
    >>> model = nn.Linear(2, 2)
    >>> _ = nn.init.constant_(model.weight, -3.0)
    >>> score(model, (ones(1, 2), zeros(1).long()), "mean_weight")["mean_weight"].value
    3.0
    >>> unregister("mean_weight")
    """

    def add(function: Function) -> Function:
        proxy = Proxy(function, source, higher_is_better, bound, draws)
        check(proxy)
        PROXIES[proxy.name] = proxy
        return function

    return add


def unregister(name: str) -> None:
    """Forget a proxy that was registered, as a test does that leaves all as it found it.

    Raises UnknownName if there is none of that name.
    """
    if name not in PROXIES:
        raise unknown_name("proxy", name, PROXIES)
    del PROXIES[name]


def check(proxy: Proxy) -> None:
    """Raise ForetellError unless the function can be a proxy."""
    for parameter in inspect.signature(proxy.function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ForetellError(
                f"{proxy.name} takes *{parameter.name}; name each quantity it needs"
            )
    for need in proxy.needs:
        if need not in QUANTITIES:
            said = f"{proxy.name} asks for {need!r}, which is no quantity"
            raise unknown_name("quantity", need, QUANTITIES, said)
    if not proxy.needs:
        raise ForetellError(f"{proxy.name} asks for no quantity; name one as a parameter")
    if not proxy.summary:
        raise ForetellError(f"{proxy.name} has no docstring; say in one line what comes out")
    known = PROXIES.get(proxy.name)
    if known is not None and known.function.__module__ != proxy.function.__module__:
        raise ForetellError(
            f"a proxy called {proxy.name!r} is there already ({known.source}); choose another name"
        )


@cache
def load_plugins() -> None:
    """Import what installed packages announce, once a process.

    Raises ForetellError, naming the package, where one cannot be imported.
    """
    for entry in entry_points(group=GROUP):
        try:
            entry.load()
        except Exception as error:
            where = entry.dist.name if entry.dist else entry.value
            raise ForetellError(
                f"the proxy {entry.name!r} of {where} cannot be loaded "
                f"({type(error).__name__}: {error}); update or remove that package"
            ) from error
