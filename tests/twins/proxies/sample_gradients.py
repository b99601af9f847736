"""Twins of the proxies of the gradients of single samples."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor, nn

from foretell.seeds import derived_seed
from tests.support.models import Case
from tests.twins.proxies.running import Row, copy_of, noted, weights_of
from tests.twins.proxies.samples import swap


def sample_gradients(
    case: Case, model: nn.Module, inputs: Any, labels: Tensor, *, of_outputs: bool = False
) -> list[Row] | None:
    """For each weight tensor, a row for each sample; None if a sample is too little."""
    rows: list[list[Row]] = []
    for n in range(len(labels)):
        own, part = copy_of(model), slice(n, n + 1)
        one = {k: x[part] for k, x in inputs.items()} if isinstance(inputs, dict) else inputs[part]
        seed = derived_seed(derived_seed(0, "sample", n), "loss", 0)
        try:
            logits, _ = noted(own, one, seed)
        except ValueError:  # of BatchNorm, for one value per channel
            return None
        (logits.sum() if of_outputs else F.cross_entropy(logits, labels[part])).backward()
        weights = weights_of(case, own)
        rows.append([(w.grad if w.grad is not None else w.detach() * 0).numpy() for w in weights])
    return [np.stack(each).reshape(len(labels), -1) for each in zip(*rows, strict=True)]


def gradsign(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """Σ |Σ_n sign g_n|."""
    tensors = sample_gradients(case, model, inputs, labels)
    if tensors is None:
        return math.nan
    return sum(float(abs(sum(np.sign(column)))) for rows in tensors for column in rows.T)


def of_tensors(tensors: list[Row], term: Callable[[Row], float]) -> float:
    """Σ over tensors of the logarithm of the sum over weights whose gradients differ."""
    total = 0.0
    for rows in tensors:
        terms = sum(term(column) for column in rows.T if len(set(column.tolist())) > 1)
        total += math.log(terms) if terms else 0.0
    return total


def zico_per_sample(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """Σ log Σ mean|g| / std(g)."""
    tensors = sample_gradients(case, model, inputs, labels)
    if tensors is None:
        return math.nan
    return of_tensors(tensors, lambda g: float(np.abs(g).mean() / g.std()))


def l_swag(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """Σ log Σ 1 / std|g|, times the number of patterns."""
    tensors = sample_gradients(case, model, inputs, labels)
    if tensors is None:
        return math.nan
    sizes = [np.abs(rows) for rows in tensors]
    return of_tensors(sizes, lambda g: float(1 / g.std())) * swap(case, model, inputs, labels)


def te_nas_ntk(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """λ_max / λ_min of the inner products of the gradients of summed outputs."""
    tensors = sample_gradients(case, model, inputs, labels, of_outputs=True)
    if tensors is None:
        return math.nan
    values = np.linalg.svd(np.concatenate(tensors, axis=1), compute_uv=False) ** 2
    return float(values.max() / values.min())
