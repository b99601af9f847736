"""Twins of the proxies that count: operations, parameters and layers."""

import math
from typing import Any

from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from tests.support.models import MODELS, Case
from tests.twins.proxies.running import copy_of, run, weights_of


def l2_norm(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """Σ_l ‖W_l‖₂."""
    return sum(math.sqrt(float((w.detach() ** 2).sum())) for w in weights_of(case, model))


def params(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """The sum of the sizes of distinct tensors."""
    distinct = {
        id(p): math.prod(p.shape)
        for m in model.modules()
        for p in m._parameters.values()
        if p is not None
    }
    return float(sum(distinct.values()))


def flops(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """The FLOPs of a forward pass by PyTorch's counter, plus bilinear layers, which it omits."""
    counter = FlopCounterMode(display=False)
    with counter:
        run(copy_of(model), inputs)
    bilinear = [m.weight.shape for m in model.modules() if isinstance(m, nn.Bilinear)]
    left_out = sum(2 * k * i * j + 2 * k * j for k, i, j in bilinear)  # (x W) for each k, then y
    return counter.get_total_flops() / len(labels) + left_out


def layers(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """The number of weights that are written down."""
    return float(len(case.weights))


def convs_3x3(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """The number of distinct weights of modules with 3×3 kernels."""
    modules = (nn.Conv2d, nn.ConvTranspose2d)
    found = [m for m in model.modules() if isinstance(m, modules) and m.kernel_size == (3, 3)]
    counted = {id(weight) for weight in weights_of(case, model)}
    return float(len({id(m.weight) for m in found} & counted))


def parameter_tensors(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """The number of distinct tensors in the modules."""
    own = [p for m in model.modules() for p in m._parameters.values() if p is not None]
    return float(len({id(p) for p in own}))


DEPTHS = {
    "cells": 8,
    "tied": 4,  # enter, twice, twice or shares, classify
    "shared": 4,  # one layer is used twice
    "frozen": 5,
    "gru": 7,  # convolution, input gates, four of the five steps from one state to the next, head
    "lstm": 16,  # convolution, 1 + 6 steps back in time, 1 + 6 steps forward, head
    "tokens": 3,  # token or position, convolution, head
    "squeeze_excite": 5,
}
"""The depths that differ from the number of weights, counted by hand."""


def depth(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """The largest number of layers one after the other."""
    name = next(name for name, one in MODELS.items() if one is case)
    return float(DEPTHS.get(name, len(case.weights)))


def params_used(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """The sizes of the tensors that have a gradient if all of them may have one."""
    model = copy_of(model).requires_grad_(True)
    run(model, inputs).sum().backward()
    return float(sum(p.numel() for p in model.parameters() if p.grad is not None))
