"""Simple implementations of the first-order scores for any model: a loss and backward().

The model is modified: its gradients are set, and it may write to itself.
"""

import math
from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel


def pairs(
    model: nn.Module, batch: tuple[Any, Tensor], weights: Iterable[str]
) -> list[tuple[Tensor, Tensor]]:
    """Each weight of the model in training mode, and ∂L/∂w as backward() computes it."""
    inputs, labels = batch
    model.train()
    with sdpa_kernel(SDPBackend.MATH):
        F.cross_entropy(model(inputs), labels).backward()
    found = []
    for name in weights:
        weight = model.get_parameter(name)
        grad = torch.zeros_like(weight) if weight.grad is None else weight.grad
        found.append((weight.detach(), grad.to_dense()))
    return found


def grad_norm(model: nn.Module, batch: tuple[Any, Tensor], weights: Iterable[str]) -> float:
    """Σ_l ‖∂L/∂W_l‖₂."""
    return sum(math.sqrt(float((g**2).sum())) for _, g in pairs(model, batch, weights))


def snip(model: nn.Module, batch: tuple[Any, Tensor], weights: Iterable[str]) -> float:
    """Σ |w · ∂L/∂w|."""
    return sum(float((w * g).abs().sum()) for w, g in pairs(model, batch, weights))


def plain(model: nn.Module, batch: tuple[Any, Tensor], weights: Iterable[str]) -> float:
    """Σ w · ∂L/∂w."""
    return sum(float((w * g).sum()) for w, g in pairs(model, batch, weights))
