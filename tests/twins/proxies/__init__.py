"""Each proxy a second time, as dull as can be: a copy of the model, plain PyTorch, loops.

Written from the definitions, not from the engine. What a model's weights are is written down in
`tests.support.models.MODELS`; what a layer's output is, is seen by hooks on modules; what an
activation or a pooling is given is noted by a mode that looks at names of functions. `TWINS` has
one function (case, model, inputs, labels) -> float for each registered proxy.
"""

from tests.twins.proxies.counts import flops, l2_norm, params
from tests.twins.proxies.flow import synflow, synflow_bn, synflow_reference
from tests.twins.proxies.gaussian import zen
from tests.twins.proxies.gradients import grad_norm, grasp, plain, snip, zico
from tests.twins.proxies.layer_outputs import fisher, fisher_reference
from tests.twins.proxies.running import Twin
from tests.twins.proxies.samples import epe_nas, jacob_cov, nwot

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
}
