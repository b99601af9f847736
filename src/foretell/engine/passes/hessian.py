"""Compute Hw by tangents along the weights if possible, otherwise by a double backward pass."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from foretell.batch import Batch
from foretell.engine.curvature.tangents import Tangents
from foretell.engine.failures import ModelFailed
from foretell.engine.graph import is_foreign
from foretell.engine.isolate import call
from foretell.engine.subject import Subject, Unavailable, gradient, is_finite
from foretell.errors import Undefined

__all__ = ["curvature_path", "doubtful", "hessian_product", "tangents_of"]


def curvature_path(subject: Subject) -> str:
    """How `hessian_weights` is computed for this model, tried on two samples or else on all."""
    try:
        return curvature_path_on(subject, subject.batch[:2])
    except ModelFailed:
        return curvature_path_on(subject, subject.batch)


def curvature_path_on(subject: Subject, few: Batch) -> str:
    """The same as `curvature_path`, tried on these samples."""
    tangents = tangents_of(subject, len(few))
    try:
        with (
            subject.undisturbed("explain"),
            sdpa_kernel(SDPBackend.MATH),
            torch.enable_grad(),
            tangents,
        ):
            outputs = call(subject.model, {}, few.each(lambda t: t.detach().clone()))
            loss = subject.loss_of(outputs, few.targets)
        tangents.check(loss)
    finally:
        tangents.let_go()
    if tangents.failed:
        return f"double backward, since {tangents.failed}"
    return "tangents along the weights"


def tangents_of(subject: Subject, samples: int) -> Tangents:
    """The observer that computes tangents along the weights, switched off by `faster=False`."""
    failed = "" if subject.faster else "faster is False"
    return Tangents(subject.weights, samples, failed)


def hessian_product(
    loss: Tensor,
    tangents: Tangents,
    grads: dict[str, Tensor],
    weights: dict[str, Tensor],
) -> dict[str, Tensor] | Unavailable:
    """Hw, by the tangents if they were computed, otherwise by a double backward."""
    if not tangents.failed:
        try:
            product = tangents.curvature.product(grads, weights)
            if all(map(is_finite, product.values())):
                return product
            tangents.failed = "the tangents are not finite"
        except Undefined as error:  # an operation cannot be differentiated often enough
            tangents.failed = str(error)
    try:
        return by_double_backward(gradient(loss, weights, create_graph=True), weights)
    except Undefined as error:
        if tangents.nested:
            return Unavailable("torch cannot differentiate nested tensors twice")
        return Unavailable(f"{error} (twice)")


def by_double_backward(
    grads: Mapping[str, Tensor], weights: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Hw, the gradient of wᵀg with w held constant."""
    slope = torch.stack([(w.detach() * grads[name]).sum() for name, w in weights.items()]).sum()
    if not slope.requires_grad:  # the loss is linear in the weights
        return {name: torch.zeros_like(w) for name, w in weights.items()}
    return gradient(slope, weights)


def doubtful(nodes: Sequence[Any], tangents: Tangents) -> bool:
    """Whether the derivative of the gradient may be another than that which autograd computes.

    A custom derivative may be wrong, and autograd treats as constant what is hidden from it or cut
    off by `detach`, as in a straight-through estimator. `nodes` has one of each type in the graph.
    """
    custom = bool(tangents.failed) and (tangents.doubted or any(map(is_foreign, nodes)))
    return custom or tangents.cut or any("FakeQuantize" in node.name() for node in nodes)
