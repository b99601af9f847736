"""A second, very simple implementation of each proxy: a copy of the model, plain PyTorch, loops.

They follow the definitions, not the engine. The weights of a model are listed in
`tests.support.models.MODELS`; outputs of layers are recorded by hooks on modules; inputs of
activations and poolings are recorded by a mode that compares the names of functions. `TWINS` has
one function (case, model, inputs, labels) -> float per registered proxy.
"""

from tests.twins.proxies.activations import intrain, wrcor
from tests.twins.proxies.attention import (
    attention_confidence,
    dss,
    head_confidence,
    head_importance,
    w_pca,
)
from tests.twins.proxies.blocks import (
    az_expressivity,
    az_progressivity,
    az_trainability,
    pr,
)
from tests.twins.proxies.channels import d8, meco, meco_opt, rd8, rmin
from tests.twins.proxies.counts import (
    convs_3x3,
    depth,
    flops,
    l2_norm,
    layers,
    parameter_tensors,
    params,
    params_used,
)
from tests.twins.proxies.fisher_matrix import vkdnw, vkdnw_reference
from tests.twins.proxies.flow import synflow, synflow_bn, synflow_reference
from tests.twins.proxies.gaussian import zen
from tests.twins.proxies.gradients import grad_norm, grasp, plain, snip, zico
from tests.twins.proxies.layer_outputs import fisher, fisher_reference
from tests.twins.proxies.outputs import near
from tests.twins.proxies.running import Twin
from tests.twins.proxies.sample_gradients import (
    gradsign,
    l_swag,
    te_nas_ntk,
    zico_per_sample,
)
from tests.twins.proxies.samples import epe_nas, jacob_cov, nwot, swap, te_nas_regions

TWINS: dict[str, Twin] = {
    "grad_norm": grad_norm,
    "snip": snip,
    "grasp": grasp,
    "fisher": fisher,
    "synflow": synflow,
    "jacob_cov": jacob_cov,
    "params": params,
    "flops": flops,
    "fisher_reference": fisher_reference,
    "synflow_reference": synflow_reference,
    "synflow_bn": synflow_bn,
    "plain": plain,
    "l2_norm": l2_norm,
    "nwot": nwot,
    "epe_nas": epe_nas,
    "zico": zico,
    "zen": zen,
    "params_used": params_used,
    "flops_used": flops,  # no model has a branch of no use
    "layers": layers,
    "depth": depth,
    "parameter_tensors": parameter_tensors,
    "convs_3x3": convs_3x3,
    "rmin": rmin,
    "d8": d8,
    "rd8": rd8,
    "meco": meco,
    "meco_opt": meco_opt,
    "near": near,
    "swap": swap,
    "gradsign": gradsign,
    "zico_per_sample": zico_per_sample,
    "l_swag": l_swag,
    "intrain": intrain,
    "wrcor": wrcor,
    "head_confidence": head_confidence,
    "attention_confidence": attention_confidence,
    "head_importance": head_importance,
    "dss": dss,
    "w_pca": w_pca,
    "te_nas_ntk": te_nas_ntk,
    "te_nas_regions": te_nas_regions,
    "vkdnw": vkdnw,
    "vkdnw_reference": vkdnw_reference,
    "az_expressivity": az_expressivity,
    "az_progressivity": az_progressivity,
    "az_trainability": az_trainability,
    "pr": pr,
}
