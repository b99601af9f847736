"""Plan the fewest passes that compute all quantities of the requested proxies."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor

from foretell.checks import as_mapping, as_number, as_text, as_texts
from foretell.errors import ForetellError, unknown_name
from foretell.proxies import BASELINES, PAPER, PROXIES, Proxy, from_file, load_plugins
from foretell.proxies.quantities import QUANTITIES, STEPS
from foretell.rankings import is_ranking

__all__ = ["DEFAULT", "Plan", "Request", "make_plan", "plain_name"]

DEFAULT = (*PAPER, *BASELINES)

Request = str | Iterable[str] | Mapping[str, Mapping[str, Any]]
"""Names of proxies (`all` means every proxy, `FILE.py:NAME` one in a file), or names with their
settings: `{"jacob_cov": {"epsilon": 1e-4}}`."""


@dataclass(frozen=True)
class Plan:
    """The steps to run for the requested proxies."""

    proxies: tuple[Proxy, ...]
    settings: Mapping[str, Mapping[str, Any]]
    steps: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """The names of the proxies, in the given order."""
        return [proxy.name for proxy in self.proxies]

    @property
    def passes(self) -> tuple[str, ...]:
        """The passes to run, in order."""
        return tuple(dict.fromkeys(STEPS[step].of for step in self.steps))

    def wanted(self) -> set[str]:
        """All quantities that the proxies need."""
        return {need for proxy in self.proxies for need in proxy.needs}

    def steps_of(self, proxy: Proxy) -> tuple[str, ...]:
        """The steps that this proxy needs."""
        return steps_for(proxy.needs)

    def apply(self, proxy: Proxy, found: Mapping[str, Any]) -> Tensor:
        """The value of the proxy with its settings, computed from the quantities."""
        function = partial(proxy.function, **self.settings.get(proxy.name, {}))
        return function(**{need: found[need] for need in proxy.needs})

    def cost(self, batch_size: int) -> float:
        """The cost in forward-equivalents: 1 is one forward pass of the minibatch."""
        return sum(self.step_cost(step, batch_size) for step in self.steps)

    @staticmethod
    def step_cost(step: str, batch_size: int) -> float:
        """The cost of a step in forward passes of a minibatch of this size."""
        return STEPS[step].cost / (batch_size if STEPS[step].per_sample else 1)


def make_plan(proxies: Request, argument: str = "proxies") -> Plan:
    """The plan for these proxies in the given order; error messages call the request `argument`."""
    settings: dict[str, dict[str, Any]] = {}
    if isinstance(proxies, Mapping):
        for name, own in proxies.items():
            given = f"{argument}[{as_text(f'a key of {argument}', name)!r}]"
            found = as_mapping(given, own, "a dict of settings")
            settings[find(name).name] = found
        proxies = list(proxies)
    names = as_texts(argument, proxies, "names of proxies")
    every = [one for name in names for one in (all_names() if name == ALL else [name])]
    chosen = tuple(dict.fromkeys(map(find, every)))
    if not chosen:
        raise ForetellError(f"{argument} is empty; name at least one (`foretell list proxies`)")
    for proxy in chosen:
        check_settings(proxy, settings.get(proxy.name, {}))
    return Plan(chosen, settings, steps_for(need for proxy in chosen for need in proxy.needs))


ALL = "all"
"""The name that stands for all proxies, including those of installed packages."""


def all_names() -> list[str]:
    """The names of all proxies."""
    load_plugins()
    return list(PROXIES)


def find(name: str) -> Proxy:
    """The proxy with this name or of `FILE.py:NAME`; the error suggests the nearest name."""
    if ".py:" in name:
        return from_file(name)
    if name not in PROXIES:
        load_plugins()
    if name in PROXIES:
        return PROXIES[name]
    if is_ranking(name):
        raise ForetellError(
            f"{name} ranks several models and is no score of one; use `rank` with by={name!r}"
        )
    raise unknown_name("proxy", name, PROXIES)


def plain_name(name: str) -> str:
    """The name, or that of the proxy in `FILE.py:NAME`, which is then registered."""
    return from_file(name).name if ".py:" in name else name


def check_settings(proxy: Proxy, settings: Mapping[str, Any]) -> None:
    """Raise ForetellError for an unknown setting of a proxy, or a value that is not a number."""
    for name, value in settings.items():
        if name not in proxy.settings:
            said = f"{proxy.name} has no setting {name!r}"
            raise unknown_name("setting", name, proxy.settings, said)
        if type(proxy.settings[name]) in (int, float):
            as_number(f"{proxy.name}'s setting {name}", value)


def steps_for(needs: Iterable[str]) -> tuple[str, ...]:
    """The steps that compute these quantities, including the steps that they require, in order."""
    required: set[str] = set()
    waiting = [QUANTITIES[need].step for need in needs]
    while waiting:
        step = waiting.pop()
        if step not in required:
            required.add(step)
            waiting.extend(STEPS[step].after)
    return tuple(step for step in STEPS if step in required)
