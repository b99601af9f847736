"""An independent check of Hw: the derivative of the gradient along the weights, by differences.

Hw is d/dt at t = 1 of the gradient at the weights t·w, however it was computed. Two gradients at
w(1 ± h), in float64, give it to many digits. They know nothing of tangents or second derivatives.
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
"""Computes quantities of a subject, as the pass does for its score."""

STEPS = (1e-5, 1e-6, 1e-7, 1e-3)
"""Values of h; a smaller one crosses fewer kinks of the activations, a larger one rounds less."""

ALLOWED = 1e-5
"""Relative to the norm of Hw. Where they agree it is less than 1e-6."""

Weights = dict[str, Tensor]


def disagreement(subject: Subject, run: Run) -> str:
    """Why Hw is not what differences of the gradient give; empty if it is.

    Both are computed in float64, in the same way as the score.
    """
    try:
        with in_float64(subject) as double:
            found = run(double, {"grads", "hessian_weights"})
            for value in found.values():
                if isinstance(value, Unavailable):
                    return f"it cannot be checked: in float64, {value.why}"
            apart = distance(double, run, found["grads"], found["hessian_weights"])
    except (ModelFailed, Undefined) as error:
        return f"it cannot be checked, since the model does not run in float64: {error}"
    if apart <= ALLOWED:
        return ""
    return (
        f"the second derivative and differences of the gradient are {apart:.1g} of its size apart: "
        "a derivative of the model's own, or a constant it takes from its weights, is not that of "
        "what it computes"
    )


def distance(subject: Subject, run: Run, grads: Weights, product: Weights) -> float:
    """The least relative distance of Hw from differences of the gradient."""
    least = float("inf")
    for step in STEPS:
        up, down = (gradient_at(subject, run, 1 + sign * step) for sign in (1, -1))
        gap = {name: (up[name] - down[name]) / (2 * step) - product[name] for name in product}
        least = min(least, norm(gap) / max(norm(product), 1e-3 * norm(grads), 1e-300))
        if least <= ALLOWED:
            break
    return least


def gradient_at(subject: Subject, run: Run, factor: float) -> Weights:
    """The gradient with all weights multiplied."""
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
    """The subject with all that its model holds in float64, in place; afterwards as it was.

    In place, since hooks, closures and a backward pass of the model's own may hold its tensors.
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
    """The length of all of it as one vector."""
    return float(torch.stack([tensor.square().sum() for tensor in tensors.values()]).sum().sqrt())
