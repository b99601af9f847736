"""The proxies: what each is called, where it comes from, and which way is better.

A proxy is a plain function of quantities; its parameter names say which (`engine/quantities.py`
lists them), parameters with a default are its settings. Where it is undefined it raises
ArithmeticError with the reason. To add one: a file beside this one, an import, a line in
`PROXIES`, a golden row.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

from torch import Tensor

from foretell.proxies.fisher import fisher
from foretell.proxies.fisher_reference import fisher_reference
from foretell.proxies.flops import flops
from foretell.proxies.grad_norm import grad_norm
from foretell.proxies.grasp import grasp
from foretell.proxies.jacob_cov import jacob_cov
from foretell.proxies.params import params
from foretell.proxies.snip import snip
from foretell.proxies.synflow import synflow
from foretell.proxies.synflow_reference import synflow_reference

__all__ = ["BASELINES", "PAPER", "PROXIES", "Proxy"]


@dataclass(frozen=True)
class Proxy:
    """A proxy and what is known of it."""

    function: Callable[..., Tensor]
    source: str
    higher_is_better: bool = True
    bound: str = ""
    """The largest or smallest value it can take, in words; empty when it has none."""

    @property
    def name(self) -> str:
        """The function's own name."""
        return self.function.__name__

    @property
    def summary(self) -> str:
        """The first line of the function's docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]

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


PROXIES: dict[str, Proxy] = {
    proxy.name: proxy
    for proxy in (
        Proxy(grad_norm, "Abdelfattah et al. 2021, arXiv:2101.08134", bound="≥ 0"),
        Proxy(snip, "Lee et al. 2019, arXiv:1810.02340", bound="≥ 0"),
        Proxy(grasp, "Wang et al. 2020, arXiv:2002.07376"),
        Proxy(fisher, "Turner et al. 2020, arXiv:1906.04113", bound="≥ 0"),
        Proxy(synflow, "Tanaka et al. 2020, arXiv:2006.05467"),
        Proxy(jacob_cov, "Mellor et al. 2020, arXiv:2006.04647v1", bound="≤ about −N"),
        Proxy(params, "baseline", bound="≥ 0"),
        Proxy(flops, "baseline, torch.utils.flop_counter", bound="≥ 0"),
        Proxy(fisher_reference, "code of arXiv:2101.08134", bound="≥ 0"),
        Proxy(synflow_reference, "code of arXiv:2101.08134"),
    )
}

PAPER = ("grad_norm", "snip", "grasp", "fisher", "synflow", "jacob_cov")
"""The six scores of arXiv:2101.08134."""

BASELINES = ("params", "flops")
"""What any proxy must beat to be worth its passes."""
