"""Twins of the proxies that compare the samples of a batch."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from foretell.seeds import derived_seed
from tests.support.models import Case
from tests.twins.proxies.gaussian import draw_weights
from tests.twins.proxies.running import SWITCHES, Row, copy_of, noted, run


def gradient_rows(model: nn.Module, inputs: Any) -> list[Row]:
    """∂(sum of all outputs)/∂(a sample), one row per sample."""
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


def epe_nas(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """Σ_classes |Σ_ij log(|r_ij| + 1e-5)|, for few classes."""
    if case.tokens:
        return math.nan
    rows = gradient_rows(model, inputs)
    total = 0.0
    for label in set(labels.tolist()):
        own = [row for row, its in zip(rows, labels.tolist(), strict=True) if its == label]
        if len(own) > 1:
            pairs = [abs(correlation(one, other)) for one in own for other in own]
            total += abs(sum(math.log(r + 1e-5) for r in pairs))
    return total


def nwot(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """log |det K|, where K_ij counts the units whose inputs are both positive or both not."""
    _, notes = noted(copy_of(model), inputs, derived_seed(0, "loss", 0))
    n = len(labels)
    k = np.zeros((n, n))
    for name in SWITCHES:
        for x in notes.given[name]:
            codes = (x.reshape(n, -1) > 0).numpy()
            for i in range(n):
                for j in range(n):
                    k[i, j] += int((codes[i] == codes[j]).sum())
    if np.linalg.matrix_rank(k) < n:
        return math.nan
    return float(np.log(np.prod(np.linalg.eigvalsh(k))))


def te_nas_regions(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """The number of samples that have different codes."""
    _, notes = noted(copy_of(model), inputs, derived_seed(0, "loss", 0))
    codes = [x.reshape(len(labels), -1) > 0 for name in SWITCHES for x in notes.given[name]]
    return len({tuple(row) for row in torch.cat(codes, 1).tolist()}) if codes else math.nan


def swap(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """The number of different columns of the matrix of signs, for Gaussian weights."""
    model = copy_of(model)
    draw_weights(case, model, torch.Generator().manual_seed(derived_seed(0, "patterns")))
    _, notes = noted(model, inputs, derived_seed(0, "patterns", 0))
    units: list[tuple[bool, ...]] = []
    for name in SWITCHES:
        for x in notes.given[name]:
            units += map(tuple, (x.reshape(len(labels), -1) > 0).T.tolist())
    return len(set(units)) if units else math.nan
