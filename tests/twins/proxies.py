"""Each proxy a second time, as dull as can be: a copy of the model, plain PyTorch, loops.

Written from the definitions, not from the engine. What a model's weights are is written down in
`models.MODELS`; what a layer's output is, is seen by hooks on modules. `TWINS` has one function
(case, model, inputs, labels) -> float for each registered proxy.
"""

import math
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from foretell.seeds import derived_seed
from tests.support.models import Case, feed

Twin = Callable[[Case, nn.Module, Any, Tensor], float]
Row = np.ndarray[Any, np.dtype[np.float64]]

DRAWS = {"loss": (0, "loss", 0), "reference_flow": (0, "reference_flow")}
"""What dropout's draws are derived from: seed 0, the pass, the micro-batch. A documented choice."""


def logits_of(outputs: Any) -> Tensor:
    """The main output: itself, the first of a tuple, or `logits` of a dict."""
    if isinstance(outputs, dict):
        outputs = outputs["logits"]
    if isinstance(outputs, tuple):
        outputs = outputs[0]
    assert isinstance(outputs, Tensor)
    return outputs


def weights_of(case: Case, model: nn.Module) -> list[nn.Parameter]:
    """The parameters that the case says are weights."""
    return [model.get_parameter(name) for name in case.weights]


def run(model: nn.Module, inputs: Any, draws: str = "loss") -> Tensor:
    """The logits, with the random numbers that the engine's pass would draw."""
    with torch.random.fork_rng(devices=[]), sdpa_kernel(SDPBackend.MATH):
        torch.manual_seed(derived_seed(*DRAWS[draws]))
        return logits_of(feed(model, inputs))


def copy_of(model: nn.Module) -> nn.Module:
    """A copy in training mode."""
    return deepcopy(model).train()


def gradients(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> list[Tensor]:
    """∂L/∂W by backward(), zeros where there is none."""
    F.cross_entropy(run(model, inputs), labels).backward()
    return [torch.zeros_like(w) if w.grad is None else w.grad for w in weights_of(case, model)]


def grad_norm(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """Σ_l ‖∂L/∂W_l‖₂."""
    grads = gradients(case, copy_of(model), inputs, labels)
    return sum(math.sqrt(float((grad**2).sum())) for grad in grads)


def snip(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """Σ |w · ∂L/∂w|."""
    model = copy_of(model)
    grads = gradients(case, model, inputs, labels)
    pairs = zip(weights_of(case, model), grads, strict=True)
    return sum(float((weight.detach() * grad).abs().sum()) for weight, grad in pairs)


def hard_sigmoid(x: Tensor, inplace: bool = False) -> Tensor:
    """F.hardsigmoid, which PyTorch cannot differentiate twice."""
    return (x / 6 + 0.5).clamp(0, 1)


def grasp(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """−θᵀ(Hg): first g, then the gradient of gᵀ(∂L/∂θ) with g held constant."""
    model = copy_of(model)
    weights = weights_of(case, model)
    with patch.object(F, "hardsigmoid", hard_sigmoid):
        loss = F.cross_entropy(run(model, inputs), labels)
    grads = torch.autograd.grad(loss, weights, create_graph=True)
    torch.stack([(grad.detach() * grad).sum() for grad in grads]).sum().backward()
    return -sum(float((w.detach() * w.grad).sum()) for w in weights if w.grad is not None)


LAYERS = (
    nn.modules.conv._ConvNd,
    nn.Linear,
    nn.Bilinear,
    nn.Embedding,
    nn.RNNBase,
    nn.MultiheadAttention,
)


def layer_outputs(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> list[Any]:
    """(module, output, ∂L/∂output) of every call of a layer that has a counted weight."""
    counted = {id(weight) for weight in weights_of(case, model)}
    if case.modular:
        model = case.modular(model)
        # A module that was given a weight in another form holds it by a parameter of its own.
        counted |= {id(p) for name, p in model.named_parameters() if name.endswith("weight")}
    seen: list[Any] = []

    def keep(module: nn.Module, _: Any, output: Any) -> Any:
        first = output[0] if isinstance(output, tuple) else output
        first.retain_grad()
        seen.append((module, first))
        shielded = first.clone()  # an in-place function downstream works on the clone
        return (shielded, *output[1:]) if isinstance(output, tuple) else shielded

    for module in model.modules():
        if isinstance(module, LAYERS) and counted & {id(p) for p in module.parameters()}:
            module.register_forward_hook(keep)
    F.cross_entropy(run(model, inputs), labels).backward()
    return [(m, a.detach(), torch.zeros_like(a) if a.grad is None else a.grad) for m, a in seen]


def per_sample(module: nn.Module, tensor: Tensor, samples: int) -> Iterator[Tensor]:
    """A layer's output sample by sample, each [positions, channels]."""
    if isinstance(module, nn.RNNBase) and not module.batch_first:
        tensor = tensor.transpose(0, 1)
    each = len(tensor) // samples
    for n in range(samples):
        rows = tensor[n * each : (n + 1) * each]
        if isinstance(module, nn.modules.conv._ConvNd):
            rows = rows.transpose(1, -1)
        yield rows.reshape(-1, rows.shape[-1])


def channels(module: nn.Module, a: Tensor, grad: Tensor, samples: int) -> list[float]:
    """D_c = ½ · mean_n (Σ_position a · ∂L/∂a)², by loops over samples and channels."""
    parts = zip(per_sample(module, a, samples), per_sample(module, grad, samples), strict=True)
    taylor = [[float((act[:, c] * g[:, c]).sum()) for c in range(act.shape[1])] for act, g in parts]
    return [sum(row[c] ** 2 for row in taylor) / samples / 2 for c in range(len(taylor[0]))]


def tapped(module: nn.Module, a: Tensor, samples: int) -> bool:
    """False for a table that is read once for all the samples."""
    return not isinstance(module, nn.Embedding) or len(a) % samples == 0


def fisher(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """Σ_layers Σ_c D_c."""
    seen = layer_outputs(case, copy_of(model), inputs, labels)
    layers = [(m, a, g) for m, a, g in seen if tapped(m, a, len(labels))]
    return sum(sum(channels(m, a, g, len(labels))) for m, a, g in layers)


def weights_of_a_channel(module: nn.Module) -> int:
    """How many weights feed one channel of a layer's output."""
    if isinstance(module, nn.modules.conv._ConvNd):
        pixels = math.prod(module.kernel_size)
        return module.in_channels // module.groups * pixels
    if isinstance(module, nn.Linear):
        return module.in_features
    if isinstance(module, nn.Bilinear):
        return module.in1_features * module.in2_features
    if isinstance(module, nn.Embedding):
        return module.num_embeddings
    if isinstance(module, nn.MultiheadAttention):
        return module.embed_dim
    assert isinstance(module, nn.RNNBase)  # by convention: the gates on the first layer's inputs
    both = 2 if module.bidirectional else 1
    return module.weight_ih_l0.numel() // (module.hidden_size * both)


def fisher_reference(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """Each D_c copied to every weight of its channel, and all copies summed."""
    total = 0.0
    for module, a, grad in layer_outputs(case, copy_of(model), inputs, labels):
        if tapped(module, a, len(labels)):
            copies = [
                [d] * weights_of_a_channel(module) for d in channels(module, a, grad, len(labels))
            ]
            total += sum(sum(row) for row in copies)
    return total


def gradient_rows(model: nn.Module, inputs: Any) -> list[Row]:
    """∂(sum of all outputs)/∂(a sample), a row a sample."""
    model = copy_of(model)
    given = inputs if isinstance(inputs, dict) else {"": inputs}
    leaves = {
        name: [row.clone().requires_grad_() for row in tensor.split(1)]
        for name, tensor in given.items()
    }
    joined = {name: torch.cat(rows) for name, rows in leaves.items()}
    run(model, joined if isinstance(inputs, dict) else joined[""]).sum().backward()
    samples = range(len(next(iter(given.values()))))
    grads = [[leaves[name][n].grad.flatten().numpy() for name in leaves] for n in samples]
    return [np.concatenate(parts).astype(np.float64) for parts in grads]


def correlation(a: Row, b: Row) -> float:
    """Pearson's."""
    a, b = a - a.mean(), b - b.mean()
    return float((a @ b) / math.sqrt((a @ a) * (b @ b)))


def jacob_cov(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """−Σ log(v+k) + 1/(v+k) of the correlations of each sample's gradient, k = 1e-5."""
    if case.tokens:
        return math.nan
    rows = gradient_rows(model, inputs)
    if any(np.ptp(row) == 0 for row in rows):
        return math.nan
    r = np.array([[correlation(one, other) for other in rows] for one in rows])
    values = np.maximum(np.linalg.eigvalsh(r), 0)
    return -sum(math.log(v + 1e-5) + 1 / (v + 1e-5) for v in values)


def flow(case: Case, model: nn.Module, inputs: Any, runs: nn.Module | None = None) -> float:
    """log Σ |w · ∂R/∂w| of a model stripped of what must not be in the flow.

    What runs may be another module with the model's parameters in it.
    """
    model = model.double()
    with torch.no_grad():
        for tensor in [*model.parameters(), *model.buffers()]:
            tensor.copy_(tensor.abs())
    ones: Any
    if case.tokens:
        ones = inputs[:1]
    elif isinstance(inputs, dict):
        ones = {name: torch.ones(1, *x.shape[1:]).double() for name, x in inputs.items()}
    else:
        ones = torch.ones(1, *inputs.shape[1:]).double()
    run(runs or model, ones, "reference_flow").sum().backward()
    total = 0.0
    for weight in weights_of(case, model):
        if weight.grad is not None:
            total += float((weight.detach() * weight.grad).abs().sum())
    return math.log(total)


def passed_on(x: Tensor, *_: Any, **__: Any) -> Tensor:
    """In place of a function or a module: its input."""
    return x.clone()


def without(model: nn.Module, kinds: tuple[type[nn.Module], ...]) -> nn.Module:
    """The model with modules of some kinds passing their input on."""
    for module in model.modules():
        if isinstance(module, kinds):
            module.forward = passed_on  # type: ignore[method-assign]
    return model


class Even(nn.Module):
    """In place of a softmax: the same share for each."""

    def forward(self, scores: Tensor) -> Tensor:
        """1 / (how many there are)."""
        return torch.full_like(scores, 1 / scores.shape[-1])


def attend_evenly(layer: nn.MultiheadAttention) -> Callable[..., Any]:
    """In place of attention's forward: the mean of the values, projected twice."""

    def forward(query: Tensor, key: Tensor, value: Tensor, **_: Any) -> tuple[Tensor, None]:
        width = layer.embed_dim
        assert layer.in_proj_weight is not None
        assert layer.batch_first
        values = value @ layer.in_proj_weight[-width:].T + layer.in_proj_bias[-width:]
        mixed = values.mean(1, keepdim=True).expand_as(query)
        return mixed @ layer.out_proj.weight.T + layer.out_proj.bias, None

    return forward


NORMS = (
    nn.modules.batchnorm._NormBase,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
    nn.LocalResponseNorm,
)
DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)


def synflow(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """No normalisation of any kind, no dropout, attention spread evenly."""
    model = deepcopy(model).eval()
    runs = case.modular(model) if case.modular else model
    runs = runs if hasattr(runs, "attend") else model
    without(runs, NORMS + DROPOUTS)
    for parent in list(runs.modules()):
        if isinstance(parent, nn.MultiheadAttention):
            parent.forward = attend_evenly(parent)  # type: ignore[method-assign]
        if isinstance(getattr(parent, "attend", None), nn.Softmax):
            parent.attend = Even()
    return flow(case, model, inputs, runs)


def synflow_bn(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """All normalisations kept, BatchNorm with the statistics of the sample of ones; no dropout."""
    model = without(deepcopy(model).eval(), DROPOUTS)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.train()
    try:
        return flow(case, model, inputs)
    except ValueError as error:
        assert "more than 1 value per channel" in str(error)  # noqa: PT017
        return math.nan


def synflow_reference(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """BatchNorm1d and BatchNorm2d removed, all else in training mode."""
    return flow(case, without(copy_of(model), (nn.BatchNorm1d, nn.BatchNorm2d)), inputs)


def plain(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """Σ w · ∂L/∂w, signed."""
    model = copy_of(model)
    grads = gradients(case, model, inputs, labels)
    pairs = zip(weights_of(case, model), grads, strict=True)
    return sum(float((weight.detach() * grad).sum()) for weight, grad in pairs)


def l2_norm(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """Σ_l ‖W_l‖₂."""
    return sum(math.sqrt(float((w.detach() ** 2).sum())) for w in weights_of(case, model))


def params(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """Sizes of distinct tensors."""
    distinct = {
        id(p): math.prod(p.shape)
        for m in model.modules()
        for p in m._parameters.values()
        if p is not None
    }
    return float(sum(distinct.values()))


def flops(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """PyTorch's counter over a real forward pass."""
    counter = FlopCounterMode(display=False)
    with counter:
        run(copy_of(model), inputs)
    return counter.get_total_flops() / len(labels)


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
}
