"""Check Hw independently by differences of the gradient along the weights.

Hw is d/dt at t = 1 of the gradient at the weights t·w. Two gradients in float64 at the weights w(1
± h) give many of its digits without tangents or second derivatives.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from foretell.engine.failures import ModelFailed
from foretell.engine.subject import Found, Subject, Unavailable
from foretell.errors import Undefined

__all__ = ["disagreement"]

Run = Callable[[Subject, set[str]], Found]
"""A function that computes quantities of a subject in the same way as for its scores."""

STEPS = (1e-5, 1e-6, 1e-7, 1e-3)
"""Values of h; a smaller one crosses fewer kinks of the activations, a larger one rounds less."""

ALLOWED = 1e-5
"""The allowed difference relative to the norm of Hw; correct values differ by less than 1e-6."""

Weights = dict[str, Tensor]


def disagreement(subject: Subject, run: Run) -> str:
    """The reason if Hw disagrees with differences of the gradient; empty if it agrees.

    Both are computed in float64, in the same way as the score.
    """
    try:
        with in_float64(subject) as double:
            found = run(double, {"grads", "hessian_weights"})
            for value in found.values():
                if isinstance(value, Unavailable):
                    return f"the second derivative cannot be checked: in float64, {value.why}"
            apart = distance(double, run, found["grads"], found["hessian_weights"])
    except (ModelFailed, Undefined) as error:
        return (
            "the second derivative cannot be checked, since the model does not run in float64: "
            f"{error}"
        )
    if apart <= ALLOWED:
        return ""
    return (
        f"the second derivative and differences of the gradient disagree by {apart:.1g} of its "
        "size: a custom derivative of the model, or what it takes for constant although it is "
        "computed from its weights (a straight-through estimator, detach), does not match what it "
        "computes, or a part of it computes with less precision than float64"
    )


def distance(subject: Subject, run: Run, grads: Weights, product: Weights) -> float:
    """The smallest relative distance between Hw and differences of the gradient."""
    least = float("inf")
    for step in STEPS:
        up, down = (gradient_at(subject, run, 1 + sign * step) for sign in (1, -1))
        gap = {name: (up[name] - down[name]) / (2 * step) - product[name] for name in product}
        least = min(least, norm(gap) / max(norm(product), 1e-3 * norm(grads), 1e-300))
        if least <= ALLOWED:
            break
    return least


def gradient_at(subject: Subject, run: Run, factor: float) -> Weights:
    """The gradient with all weights multiplied by a factor."""
    before = {name: weight.data for name, weight in subject.weights.items()}
    try:
        for name, weight in subject.weights.items():
            weight.data = before[name] * factor
        grads = run(replace(subject, state=None), {"grads"})["grads"]
    finally:
        for name, weight in subject.weights.items():
            weight.data = before[name]
    if isinstance(grads, Unavailable):
        raise Undefined(grads.why)
    found: Weights = grads
    return found


@contextmanager
def in_float64(subject: Subject) -> Iterator[Subject]:
    """Within the block, the subject with all tensors of its model converted to float64 in place.

    It is done in place, since hooks, closures and a custom backward pass may refer to the tensors.
    """
    model = subject.model
    own: list[Any] = [value for module in model.modules() for value in vars(module).values()]
    held = [t for t in chain(model.parameters(), model.buffers(), own) if isinstance(t, Tensor)]
    before = [(tensor, tensor.data) for tensor in held if tensor.is_floating_point()]
    batch = subject.batch.each(lambda t: t.double() if t.is_floating_point() else t)
    try:
        for tensor, data in before:
            tensor.data = data.double()
        yield replace(subject, batch=batch, state=None)
    finally:
        for tensor, data in before:
            tensor.data = data


def norm(tensors: Weights) -> float:
    """The Euclidean norm of all tensors together."""
    return float(torch.stack([tensor.square().sum() for tensor in tensors.values()]).sum().sqrt())
