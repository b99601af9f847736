"""Twins of the proxies of weights and their gradients."""

import math
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foretell.seeds import derived_seed
from tests.support.models import Case
from tests.twins.proxies.running import copy_of, gradients, noted, run, weights_of


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


def plain(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """Σ w · ∂L/∂w, signed."""
    model = copy_of(model)
    grads = gradients(case, model, inputs, labels)
    pairs = zip(weights_of(case, model), grads, strict=True)
    return sum(float((weight.detach() * grad).sum()) for weight, grad in pairs)


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


def zico(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """Σ_l log Σ_w mean|g| / std(g) over the gradients of the two halves of the batch."""
    middle = len(labels) // 2
    halves = []
    for index, part in enumerate((slice(0, middle), slice(middle, None))):
        own = copy_of(model)
        some = {k: x[part] for k, x in inputs.items()} if isinstance(inputs, dict) else inputs[part]
        logits, _ = noted(own, some, derived_seed(derived_seed(0, "half", index), "loss", 0))
        F.cross_entropy(logits, labels[part]).backward()
        halves.append([w.grad for w in weights_of(case, own)])
    total = 0.0
    for one, other in zip(*halves, strict=True):
        ratios = 0.0
        if one is not None and other is not None:
            for a, b in zip(one.flatten().tolist(), other.flatten().tolist(), strict=True):
                if a != b:
                    ratios += ((abs(a) + abs(b)) / 2) / (abs(a - b) / 2)
        if ratios:
            total += math.log(ratios)
    return total
