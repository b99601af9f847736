"""Proxies defined by users: registered by a decorator, or provided by an installed package.

A package declares its proxies as entry points, `name = "module:object"` in the group
`foretell.proxies`. The object is a function decorated with `register`, or a module that registers
proxies when it is imported.
"""

import inspect
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import TypeVar

from torch import Tensor

from foretell.checks import as_choice, as_flag, as_text, wrong
from foretell.errors import ForetellError, unknown_name
from foretell.proxies.proxy import PROXIES, Proxy
from foretell.proxies.quantities import QUANTITIES
from foretell.user_code import named_in_file

__all__ = ["GROUP", "from_file", "higher_is_better", "load_plugins", "register", "unregister"]

GROUP = "foretell.proxies"


Function = TypeVar("Function", bound=Callable[..., Tensor])


def register(
    *, source: str, higher_is_better: bool = True, bound: str = "", draws: bool = False
) -> Callable[[Function], Function]:
    """A decorator that registers a function as a proxy under its name; the function is unchanged.

    The parameters without a default name the quantities that the function needs (`foretell list
    quantities`); the others are its settings. If the score is undefined, the function must raise
    ArithmeticError with the reason.

    Raises ForetellError for an unknown quantity, a name in use, or a missing docstring.

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

    proxy_of = partial(
        Proxy,
        source=as_text("source", source, "where the proxy comes from"),
        higher_is_better=as_flag("higher_is_better", higher_is_better),
        bound=as_text("bound", bound, empty=True),
        draws=as_flag("draws", draws),
    )

    def add(function: Function) -> Function:
        if not inspect.isfunction(function):
            raise wrong("what is registered", function, "a function of quantities")
        proxy = proxy_of(function)
        check(proxy)
        PROXIES[proxy.name] = proxy
        return function

    return add


def unregister(name: str) -> None:
    """Remove a registered proxy, for example at the end of a test.

    Raises UnknownName if there is no proxy with this name.

    >>> @register(source="an example")
    ... def zero(weights: dict[str, Tensor]) -> Tensor:
    ...     \"\"\"Zero for any model.\"\"\"
    ...     return torch.zeros(())
    >>> unregister("zero")
    """
    del PROXIES[as_choice("name", name, PROXIES, "proxy")]


def check(proxy: Proxy) -> None:
    """Raise ForetellError unless the function can be a proxy."""
    for parameter in inspect.signature(proxy.function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ForetellError(
                f"{proxy.name} takes *{parameter.name}; name each quantity as a parameter"
            )
    for need in proxy.needs:
        if need not in QUANTITIES:
            said = f"{proxy.name} requires {need!r}, which is not a quantity"
            raise unknown_name("quantity", need, QUANTITIES, said)
    if not proxy.needs:
        raise ForetellError(f"{proxy.name} requires no quantity; name one as a parameter")
    if not proxy.summary:
        raise ForetellError(f"{proxy.name} has no docstring; describe in one line what it returns")
    known = PROXIES.get(proxy.name)
    if known is not None and known.function.__module__ != proxy.function.__module__:
        raise ForetellError(
            f"a proxy called {proxy.name!r} already exists ({known.source}); choose another name"
        )


def higher_is_better(name: str) -> bool | None:
    """Whether higher is better for a proxy, possibly of an installed package; None if unregistered.

    >>> higher_is_better("synflow"), higher_is_better("nosuch")
    (True, None)
    """
    if name not in PROXIES:
        load_plugins()
    return PROXIES[name].higher_is_better if name in PROXIES else None


def from_file(text: str) -> Proxy:
    """The proxy NAME of `FILE.py:NAME`, registered under its own name; runs the file if it is new.

    The function may, but need not, be decorated with `register`.

    Raises ForetellError if there is no such file or function, or if the function cannot be a proxy.
    """
    path = Path(text.rpartition(":")[0]).resolve()
    version = path.stat().st_mtime_ns if path.is_file() else 0
    return loaded(f"{path}:{text.rpartition(':')[2]}", version)


@cache
def loaded(text: str, version: int) -> Proxy:
    """The proxy that `from_file` returns, cached for each version of the file."""
    function = named_in_file(text)
    if not inspect.isfunction(function):
        raise ForetellError(f"{text} is not a function; give one of quantities, as a proxy is")
    known = PROXIES.get(function.__name__)
    if known is None or known.function is not function:
        register(source=text)(function)
    PROXIES[function.__name__] = replace(PROXIES[function.__name__], origin=text)
    return PROXIES[function.__name__]


@cache
def load_plugins() -> None:
    """Import the proxies that installed packages declare, once per process.

    Raises ForetellError, naming the package, if one cannot be imported.
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
