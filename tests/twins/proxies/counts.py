"""Twins of the proxies that count or read parameters."""

import math
from typing import Any

from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from tests.support.models import Case
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
