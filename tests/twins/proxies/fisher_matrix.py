"""The twins of the scores of the Fisher matrix."""

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from foretell.seeds import derived_seed
from tests.support.models import Case, feed
from tests.twins.proxies.gaussian import draw_weights
from tests.twins.proxies.running import Row, copy_of, logits_of


def derivatives(case: Case, model: nn.Module, inputs: Any, samples: int) -> list[tuple[Row, Row]]:
    """For each sample, p with 5 % of the uniform distribution, and J."""
    model = copy_of(model).eval().requires_grad_(True)
    seed = derived_seed(0, "outputs_by_weights")
    draw_weights(case, model, torch.Generator().manual_seed(seed), kaiming=True)
    given = inputs if isinstance(inputs, dict) else {"": inputs}
    found = []
    for n in range(samples):
        one = {name: x[n : n + 1] for name, x in given.items()}
        with sdpa_kernel(SDPBackend.MATH):
            logits = logits_of(feed(model, one if isinstance(inputs, dict) else one[""]))[0]
        rows = []
        for score in logits:
            model.zero_grad()
            score.backward(retain_graph=True)
            parameters = list(model.parameters())
            rows.append([0.0 if p.grad is None else float(p.grad.flatten()[0]) for p in parameters])
        p = F.softmax(logits.detach(), 0).numpy() * 0.95 + 0.05 / len(logits)
        found.append((p, np.array(rows)))
    return found


def entropy(fisher: Row) -> float:
    """−Σ q log q of the deciles of the singular values."""
    values = np.sort(np.linalg.svd(fisher, compute_uv=False))
    deciles = [float(np.quantile(values, k / 10)) for k in range(1, 10)]
    shares = [decile / (sum(deciles) + 1e-10) for decile in deciles]
    return -sum(q * math.log(q + 1e-10) for q in shares)


def vkdnw(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """Of the mean of Jᵀ (diag(p) − p pᵀ) J."""
    pairs = derivatives(case, model, inputs, len(labels))
    return entropy(sum(j.T @ (np.diag(p) - np.outer(p, p)) @ j for p, j in pairs) / len(labels))


def vkdnw_reference(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """Of the mean of (L J)ᵀ L J, L being a Cholesky factor, whose last column is zero."""
    total: Any = 0.0
    for p, j in derivatives(case, model, inputs, len(labels)):
        covariance = np.diag(p) - np.outer(p, p)
        factor = np.zeros_like(covariance)
        factor[:-1, :-1] = np.linalg.cholesky(covariance[:-1, :-1])
        factor[-1, :-1] = -factor[:-1, :-1].sum(0)  # each column adds up to zero
        total = total + (factor @ j).T @ (factor @ j)
    return entropy(total / len(labels))
