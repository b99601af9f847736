"""Twins of the proxies of transformers, whose layers are known by the names in the test models."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tests.support.models import Case
from tests.twins.proxies.gradients import gradients
from tests.twins.proxies.running import Row, copy_of, run

PROJECTIONS = ("in_proj_weight", "qkv", "qkv.weight")
OUTPUTS = ("out_proj.weight", "out_weight", "mix.weight")
FIRST = ("feed.0.weight", "feed.1.weight", "linear1.weight", "widen.weight")
SECOND = ("feed.2.weight", "feed.3.weight", "linear2.weight", "narrow.weight")


def has_attention(case: Case) -> bool:
    """Whether a model has the projections of an attention."""
    return any(name.endswith(PROJECTIONS) for name in case.weights)


def seen(case: Case, model: nn.Module, inputs: Any) -> tuple[list[Tensor], list[Tensor]]:
    """The outputs of query, key and value layers, [N, T, C], and attention's probabilities."""
    model = copy_of(model)
    if case.modular:
        model = case.modular(model)
    projected: list[Tensor] = []
    shares: list[Tensor] = []

    def by_heads(module: nn.Module, args: Any) -> None:
        """nn.MultiheadAttention of a sequence with itself."""
        assert isinstance(module, nn.MultiheadAttention)
        assert module.in_proj_weight is not None
        x, heads = args[0].detach(), module.num_heads
        q, k, v = (x @ module.in_proj_weight.T + module.in_proj_bias).detach().chunk(3, -1)
        projected.extend([q, k, v])
        q, k = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in (q, k))
        shares.append((q @ k.mT / q.shape[-1] ** 0.5).softmax(-1))

    for name, module in model.named_modules():
        if isinstance(module, nn.MultiheadAttention):
            module.register_forward_pre_hook(by_heads)
        elif name.endswith("attend"):
            module.register_forward_hook(lambda _, __, out: shares.append(out.detach()))
        elif name.endswith(("qkv", "q_k_v")):
            module.register_forward_hook(lambda _, __, out: projected.append(out.detach()))
    run(model, inputs)
    return projected, shares


def head_confidence(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """The mean of means over samples and channels of the largest over positions."""
    projected, _ = seen(case, model, inputs)
    means = [float(np.mean(x.numpy().max(axis=1))) for x in projected]
    return float(np.mean(means)) if has_attention(case) else math.nan


def attention_confidence(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """The mean over queries of the largest probability."""
    _, shares = seen(case, model, inputs)
    return float(np.mean([s.numpy().max(-1).mean() for s in shares])) if shares else math.nan


def pairs(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> dict[str, tuple[Row, Row]]:
    """The weights and their gradients by name."""
    grads = gradients(case, copy_of(model), inputs, labels)
    weights = [model.get_parameter(name).detach().numpy() for name in case.weights]
    found = zip(case.weights, weights, grads, strict=True)
    return {name: (w, g.numpy()) for name, w, g in found}


def head_importance(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """Σ |w g| of projections."""
    both = pairs(case, model, inputs, labels).items()
    found = [float(np.abs(w * g).sum()) for name, (w, g) in both if name.endswith(PROJECTIONS)]
    return sum(found) if has_attention(case) else math.nan


def dss(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """Nuclear norms of attention, saliency of feed-forward layers."""
    total = 0.0
    for name, (w, g) in pairs(case, model, inputs, labels).items():
        if name.endswith((*PROJECTIONS, *OUTPUTS)):
            total += float(np.linalg.norm(w, "nuc") * np.linalg.norm(g, "nuc"))
        elif name.endswith((*FIRST, *SECOND)):
            total += float(np.abs(w * g).sum())
    return total if has_attention(case) else math.nan


def w_pca(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """#params · Σ of the number of components with more than 99 % of the variance."""
    model = copy_of(model)
    rows: list[Row] = []

    def keep(_: nn.Module, __: Any, out: Tensor) -> None:
        rows.append(out.detach().clone().flatten(0, -2).numpy())

    own = [n.removesuffix(".weight") for n in case.weights if n.endswith(FIRST)]
    narrow = [name for name in case.weights if name.endswith(SECOND)]
    for name in own if narrow else []:
        if isinstance(module := model.get_submodule(name), nn.Linear):
            module.register_forward_hook(keep)
    run(model, inputs)
    total = 0
    for x in rows:
        values = np.sort(np.linalg.eigvalsh(np.cov(x.T)))[::-1]
        total += next(k for k in range(1, 99) if values[:k].sum() > 0.99 * values.sum())
    size = sum(torch.numel(parameter) for parameter in model.parameters())
    return float(total * size) if rows else math.nan
