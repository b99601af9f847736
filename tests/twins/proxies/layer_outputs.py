"""Twins of the proxies of layer outputs, which are recorded by hooks on modules."""

import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.support.models import Case
from tests.twins.proxies.running import copy_of, run, weights_of

LAYERS = (
    nn.modules.conv._ConvNd,
    nn.Linear,
    nn.Bilinear,
    nn.Embedding,
    nn.RNNBase,
    nn.MultiheadAttention,
)


def layer_outputs(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> list[Any]:
    """(module, output, ∂L/∂output) for every call of a layer that has a counted weight."""
    counted = {id(weight) for weight in weights_of(case, model)}
    if case.modular:
        model = case.modular(model)
        # the equivalent modules have parameters of their own
        counted |= {id(p) for name, p in model.named_parameters() if name.endswith("weight")}
    seen: list[Any] = []

    def keep(module: nn.Module, _: Any, output: Any) -> Any:
        first = output[0] if isinstance(output, tuple) else output
        first.retain_grad()
        seen.append((module, first))
        shielded = first.clone()  # an in-place function after it works on the clone
        return (shielded, *output[1:]) if isinstance(output, tuple) else shielded

    for module in model.modules():
        if isinstance(module, LAYERS) and counted & {id(p) for p in module.parameters()}:
            module.register_forward_hook(keep)
    F.cross_entropy(run(model, inputs), labels).backward()
    return [(m, a.detach(), torch.zeros_like(a) if a.grad is None else a.grad) for m, a in seen]


def per_sample(module: nn.Module, tensor: Tensor, samples: int) -> Iterator[Tensor]:
    """The output of a layer for each sample, as [positions, channels]."""
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
    """False for a table that is read once for all samples."""
    return not isinstance(module, nn.Embedding) or len(a) % samples == 0


def fisher(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """Σ_layers Σ_c D_c."""
    seen = layer_outputs(case, copy_of(model), inputs, labels)
    layers = [(m, a, g) for m, a, g in seen if tapped(m, a, len(labels))]
    return sum(sum(channels(m, a, g, len(labels))) for m, a, g in layers)


def weights_of_a_channel(module: nn.Module) -> int:
    """The number of weights per channel of a layer's output."""
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
    assert isinstance(module, nn.RNNBase)  # by convention, the first layer's input gates
    both = 2 if module.bidirectional else 1
    return module.weight_ih_l0.numel() // (module.hidden_size * both)


def fisher_reference(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """Each D_c is copied to every weight of its channel, and the copies are summed."""
    total = 0.0
    for module, a, grad in layer_outputs(case, copy_of(model), inputs, labels):
        if tapped(module, a, len(labels)):
            copies = [
                [d] * weights_of_a_channel(module) for d in channels(module, a, grad, len(labels))
            ]
            total += sum(sum(row) for row in copies)
    return total
