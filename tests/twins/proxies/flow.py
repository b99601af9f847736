"""Twins of the proxies of the flow of a batch of ones."""

import math
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from tests.support.models import Case
from tests.twins.proxies.running import DROPOUTS, NORMS, copy_of, run, weights_of


def flow(case: Case, model: nn.Module, inputs: Any, runs: nn.Module | None = None) -> float:
    """log Σ |w · ∂R/∂w| of a model without the modules that must not be in the flow.

    `runs` may be another module that contains the parameters of the model.
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
    """The input: a replacement for a function or a module that is bypassed."""
    return x.clone()


def without(model: nn.Module, kinds: tuple[type[nn.Module], ...]) -> nn.Module:
    """The model with modules of some kinds bypassed."""
    for module in model.modules():
        if isinstance(module, kinds):
            module.forward = passed_on  # type: ignore[method-assign]
    return model


class Even(nn.Module):
    """A replacement for softmax that gives equal shares."""

    def forward(self, scores: Tensor) -> Tensor:
        """1 / (the number of entries)."""
        return torch.full_like(scores, 1 / scores.shape[-1])


def attend_evenly(layer: nn.MultiheadAttention) -> Callable[..., Any]:
    """A replacement for the forward of attention: the mean of the values, projected twice."""

    def forward(query: Tensor, key: Tensor, value: Tensor, **_: Any) -> tuple[Tensor, None]:
        width = layer.embed_dim
        assert layer.in_proj_weight is not None
        assert layer.batch_first
        values = value @ layer.in_proj_weight[-width:].T + layer.in_proj_bias[-width:]
        mixed = values.mean(1, keepdim=True).expand_as(query)
        return mixed @ layer.out_proj.weight.T + layer.out_proj.bias, None

    return forward


def synflow(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """All normalisations and dropout are bypassed, and attention is uniform."""
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
    """All normalisations are kept, BatchNorm with statistics of the sample of ones; no dropout."""
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
    """BatchNorm1d and BatchNorm2d are bypassed, everything else is in training mode."""
    return flow(case, without(copy_of(model), (nn.BatchNorm1d, nn.BatchNorm2d)), inputs)
