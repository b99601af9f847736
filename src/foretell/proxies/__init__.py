"""The registry of proxies: their functions, sources and bounds.

A proxy is a plain function of quantities. Its parameters without a default name the quantities
(quantities.py lists them), and parameters with a default are its settings. If the score is
undefined, the function raises ArithmeticError with the reason. To add one, create a file in this
package, import it here, add an entry to `PROXIES`, and add its golden values.
"""

from foretell.proxies import (
    attention_confidence,
    az_expressivity,
    az_progressivity,
    az_trainability,
    convs_3x3,
    d8,
    depth,
    dss,
    epe_nas,
    fisher,
    fisher_reference,
    flops,
    flops_used,
    grad_norm,
    gradsign,
    grasp,
    head_confidence,
    head_importance,
    intrain,
    jacob_cov,
    l2_norm,
    l_swag,
    layers,
    meco,
    meco_opt,
    near,
    nwot,
    parameter_tensors,
    params,
    params_used,
    plain,
    pr,
    rd8,
    rmin,
    snip,
    swap,
    synflow,
    synflow_bn,
    synflow_reference,
    te_nas_ntk,
    te_nas_regions,
    vkdnw,
    vkdnw_reference,
    w_pca,
    wrcor,
    zen,
    zico,
    zico_per_sample,
)
from foretell.proxies.plugins import from_file, higher_is_better, load_plugins, register
from foretell.proxies.proxy import PROXIES, Proxy

__all__ = [
    "BASELINES",
    "PAPER",
    "PROXIES",
    "Proxy",
    "from_file",
    "higher_is_better",
    "load_plugins",
    "register",
]


PROXIES |= {
    proxy.name: proxy
    for proxy in (
        Proxy(grad_norm.grad_norm, "Abdelfattah et al. 2021, arXiv:2101.08134", bound="≥ 0"),
        Proxy(snip.snip, "Lee et al. 2019, arXiv:1810.02340", bound="≥ 0"),
        Proxy(grasp.grasp, "Wang et al. 2020, arXiv:2002.07376"),
        Proxy(fisher.fisher, "Turner et al. 2020, arXiv:1906.04113", bound="≥ 0"),
        Proxy(synflow.synflow, "Tanaka et al. 2020, arXiv:2006.05467"),
        Proxy(jacob_cov.jacob_cov, "Mellor et al. 2020, arXiv:2006.04647v1", bound="≤ about −N"),
        Proxy(plain.plain, "code of arXiv:2101.08134"),
        Proxy(l2_norm.l2_norm, "code of arXiv:2101.08134", bound="≥ 0"),
        Proxy(
            nwot.nwot, "Mellor et al. 2021, arXiv:2006.04647v3", bound="≤ N · log(number of units)"
        ),
        Proxy(zen.zen, "Lin et al. 2021, arXiv:2102.01063", draws=True),
        Proxy(epe_nas.epe_nas, "Lopes et al. 2021, arXiv:2102.08099", bound="≥ 0"),
        Proxy(zico.zico, "Li et al. 2023, arXiv:2301.11300", bound="≥ 0"),
        Proxy(synflow_bn.synflow_bn, "code of arXiv:2101.08134"),
        Proxy(params.params, "baseline", bound="≥ 0"),
        Proxy(flops.flops, "baseline, torch.utils.flop_counter", bound="≥ 0"),
        Proxy(params_used.params_used, "baseline", bound="≥ 0"),
        Proxy(flops_used.flops_used, "baseline, torch.utils.flop_counter", bound="≥ 0"),
        Proxy(layers.layers, "baseline", bound="≥ 0"),
        Proxy(depth.depth, "baseline", bound="≥ 0"),
        Proxy(parameter_tensors.parameter_tensors, "baseline", bound="≥ 0"),
        Proxy(convs_3x3.convs_3x3, "baseline", bound="≥ 0"),
        Proxy(
            az_expressivity.az_expressivity,
            "Lee and Ham 2024, arXiv:2403.19232",
            bound="≤ Σ log(channels of a boundary)",
            draws=True,
        ),
        Proxy(az_progressivity.az_progressivity, "Lee and Ham 2024, arXiv:2403.19232", draws=True),
        Proxy(
            az_trainability.az_trainability,
            "Lee and Ham 2024, arXiv:2403.19232",
            bound="≤ about 0",
            draws=True,
        ),
        Proxy(
            pr.pr,
            "the participation ratio of statistics, at the boundaries of arXiv:2403.19232",
            bound="≥ 0",
            draws=True,
        ),
        Proxy(fisher_reference.fisher_reference, "code of arXiv:2101.08134", bound="≥ 0"),
        Proxy(synflow_reference.synflow_reference, "code of arXiv:2101.08134"),
        Proxy(rmin.rmin, "foretell", bound="≥ 0"),
        Proxy(d8.d8, "foretell", bound="≥ 0", draws=True),
        Proxy(rd8.rd8, "foretell", bound="≥ 0", draws=True),
        Proxy(
            near.near,
            "Husistein et al. 2024, arXiv:2408.08776",
            bound="≤ number of channels of all layers",
            draws=True,
        ),
        Proxy(
            swap.swap,
            "Peng et al. 2024, arXiv:2403.04161",
            bound="≤ 2^B for B samples, at most 2^16",
            draws=True,
        ),
        Proxy(
            gradsign.gradsign,
            "Zhang and Jia 2022, arXiv:2110.08616",
            bound="≤ number of weights · N",
        ),
        Proxy(zico_per_sample.zico_per_sample, "after Li et al. 2023, arXiv:2301.11300"),
        Proxy(l_swag.l_swag, "Casarin et al. 2025, arXiv:2505.07300", draws=True),
        Proxy(
            vkdnw.vkdnw,
            "Týbl and Neumann 2025, arXiv:2502.04975",
            bound="≤ log 9",
            draws=True,
        ),
        Proxy(
            vkdnw_reference.vkdnw_reference,
            "code of arXiv:2502.04975",
            bound="≤ log 9",
            draws=True,
        ),
        Proxy(
            te_nas_ntk.te_nas_ntk,
            "Chen et al. 2021, arXiv:2102.11535",
            higher_is_better=False,
            bound="≥ 1",
        ),
        Proxy(te_nas_regions.te_nas_regions, "Chen et al. 2021, arXiv:2102.11535", bound="≤ N"),
        Proxy(intrain.intrain, "Zhou et al. 2026, arXiv:2606.18676", bound="≥ 0"),
        Proxy(wrcor.wrcor, "Jing et al. 2025, arXiv:2507.08841"),
        Proxy(head_confidence.head_confidence, "Serianni and Kalita 2023, arXiv:2306.00288"),
        Proxy(
            attention_confidence.attention_confidence,
            "Serianni and Kalita 2023, arXiv:2306.00288",
            bound="≤ 1",
        ),
        Proxy(
            head_importance.head_importance,
            "Serianni and Kalita 2023, arXiv:2306.00288",
            bound="≥ 0",
        ),
        Proxy(dss.dss, "Zhou et al. 2022, arXiv:2203.12217", bound="≥ 0"),
        Proxy(w_pca.w_pca, "Wang 2025, arXiv:2504.15983", bound="≥ 0"),
        Proxy(meco.meco, "Jiang et al. 2023, NeurIPS", bound="≥ 0"),
        Proxy(meco_opt.meco_opt, "Jiang et al. 2023, NeurIPS", bound="≥ 0", draws=True),
    )
}

PAPER = ("grad_norm", "snip", "grasp", "fisher", "synflow", "jacob_cov")
"""The six proxies of arXiv:2101.08134."""

BASELINES = ("params", "flops")
"""The baselines that a proxy must outperform to justify its cost."""
