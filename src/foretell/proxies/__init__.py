"""The proxies: what each is called, where it comes from, and which way is better.

A proxy is a plain function of quantities; its parameter names say which (`engine/quantities.py`
lists them), parameters with a default are its settings. Where it is undefined it raises
ArithmeticError with the reason. To add one: a file beside this one, an import, a line in
`PROXIES`, a golden row.
"""

from foretell.proxies.epe_nas import epe_nas
from foretell.proxies.fisher import fisher
from foretell.proxies.fisher_reference import fisher_reference
from foretell.proxies.flops import flops
from foretell.proxies.grad_norm import grad_norm
from foretell.proxies.grasp import grasp
from foretell.proxies.jacob_cov import jacob_cov
from foretell.proxies.l2_norm import l2_norm
from foretell.proxies.nwot import nwot
from foretell.proxies.params import params
from foretell.proxies.plain import plain
from foretell.proxies.proxy import PROXIES, Proxy
from foretell.proxies.register import load_plugins, register
from foretell.proxies.snip import snip
from foretell.proxies.synflow import synflow
from foretell.proxies.synflow_bn import synflow_bn
from foretell.proxies.synflow_reference import synflow_reference
from foretell.proxies.zen import zen
from foretell.proxies.zico import zico

__all__ = ["BASELINES", "PAPER", "PROXIES", "Proxy", "load_plugins", "register"]


PROXIES |= {
    proxy.name: proxy
    for proxy in (
        Proxy(grad_norm, "Abdelfattah et al. 2021, arXiv:2101.08134", bound="≥ 0"),
        Proxy(snip, "Lee et al. 2019, arXiv:1810.02340", bound="≥ 0"),
        Proxy(grasp, "Wang et al. 2020, arXiv:2002.07376"),
        Proxy(fisher, "Turner et al. 2020, arXiv:1906.04113", bound="≥ 0"),
        Proxy(synflow, "Tanaka et al. 2020, arXiv:2006.05467"),
        Proxy(jacob_cov, "Mellor et al. 2020, arXiv:2006.04647v1", bound="≤ about −N"),
        Proxy(plain, "code of arXiv:2101.08134"),
        Proxy(l2_norm, "code of arXiv:2101.08134", bound="≥ 0"),
        Proxy(nwot, "Mellor et al. 2021, arXiv:2006.04647v3", bound="≤ N · log(number of units)"),
        Proxy(zen, "Lin et al. 2021, arXiv:2102.01063", draws=True),
        Proxy(epe_nas, "Lopes et al. 2021, arXiv:2102.08099", bound="≥ 0"),
        Proxy(zico, "Li et al. 2023, arXiv:2301.11300", bound="≥ 0"),
        Proxy(synflow_bn, "code of arXiv:2101.08134"),
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
