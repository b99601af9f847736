"""Explain what scoring would run and what it would cost, before anything is scored."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Unpack

import pandas as pd
import torch
from torch import Tensor, nn

from foretell.batch import Given
from foretell.checks import as_integer
from foretell.engine.caller import default_device, own_settings
from foretell.engine.failures import ModelFailed
from foretell.engine.isolate import call
from foretell.engine.memory import saved_bytes, within_memory
from foretell.engine.modules import named_buffers_of, named_parameters_of
from foretell.engine.passes import check_runs
from foretell.engine.passes.count import count_pass, shape_only
from foretell.engine.passes.hessian import curvature_path
from foretell.engine.plan import DEFAULT, Plan, Request, make_plan
from foretell.engine.subject import Subject, Unavailable
from foretell.errors import ForetellError
from foretell.proxies.quantities import STEPS
from foretell.scoring.score import as_subject, too_large
from foretell.scoring.settings import ScoreChoices, ScoreSettings, settings_of

__all__ = ["Explanation", "explain"]


@dataclass(frozen=True)
class Explanation:
    """The steps that scoring would run and their cost, in general or for a given model."""

    plan: Plan
    batch_size: int
    forward_flops: int | None = None
    """FLOPs of one forward pass of the whole batch; None if unknown, as without a model."""
    memory: int | None = None
    """Estimated peak memory in bytes (parameters, activations, gradients); None if unknown."""
    curvature: str = ""
    """How the curvature is computed for this model, and why; empty if no proxy needs it."""

    @property
    def cost(self) -> float:
        """The cost of all steps in forward-equivalents: 1 is one forward pass of the minibatch."""
        return self.plan.cost(self.batch_size)

    def _repr_html_(self) -> str:
        """The table, for notebooks."""
        return self.table().to_html()

    def table(self) -> pd.DataFrame:
        """One row per step: `cost` in forward-equivalents, what it `computes`, `for` which proxies.

        If a model was given, there is also a column `flops`.

        >>> explain(["snip", "grad_norm"]).table()[["cost", "for"]]
                  cost              for
        step
        read       0.0             snip
        forward    1.0  snip, grad_norm
        backward   2.0  snip, grad_norm
        """
        plan = self.plan
        rows: list[dict[str, Any]] = []
        for step in plan.steps:
            cost = plan.step_cost(step, self.batch_size)
            row: dict[str, Any] = {"step": step, "cost": cost}
            if self.forward_flops is not None:
                row["flops"] = round(cost * self.forward_flops)
            asking = (proxy.name for proxy in plan.proxies if step in plan.steps_of(proxy))
            rows.append({**row, "computes": STEPS[step].meaning, "for": ", ".join(asking)})
        return pd.DataFrame(rows).set_index("step")


SIZE = 64
"""The batch size if neither a number nor a batch is given."""


@own_settings()
def explain(
    proxies: Request = DEFAULT,
    model: nn.Module | None = None,
    batch: Given | None = None,
    *,
    batch_size: int | None = None,
    scoring: ScoreSettings = ScoreSettings(),
    **choices: Unpack[ScoreChoices],
) -> Explanation:
    """Explain which steps these proxies would run, and their cost in forward-equivalents.

    Nothing is scored. Without a model, the steps are those for `batch_size` samples, by default 64.
    With a model and a batch, they are those for this batch, and the explanation also has the FLOPs,
    the expected peak memory in bytes, and how the curvature would be computed. These are derived
    from tensor shapes alone where possible; otherwise, the model is run on two samples or on the
    batch. `scoring` and the keyword arguments are those of `foretell.score`. Raises ForetellError
    like `foretell.score`.

    >>> round(explain(["grad_norm", "snip", "fisher"]).cost, 2)
    3.0
    >>> round(explain().cost, 2)
    8.05
    """
    plan, settings = make_plan(proxies), settings_of(scoring, choices)
    size = SIZE if batch_size is None else as_integer("batch_size", batch_size)
    if model is None or batch is None:
        if (model is None) != (batch is None):
            has, lacks = ("batch", "model") if model is None else ("model", "batch")
            raise ForetellError(f"explain has a {has} but no {lacks}; give both, or neither")
        return Explanation(plan, size)
    if batch_size is not None:
        raise ForetellError("batch_size has no effect with a batch; leave one of the two out")
    return within_memory(lambda: explained(plan, model, batch, settings), too_large)


def explained(plan: Plan, model: nn.Module, batch: Given, settings: ScoreSettings) -> Explanation:
    """The explanation with the FLOPs, memory and curvature for this model and batch."""
    subject = as_subject(model, batch, 0, settings)
    with default_device(subject.device):
        flops = count_pass(subject, {"forward_flops"}, {})["forward_flops"]
        return Explanation(
            plan,
            len(subject.batch),
            None if isinstance(flops, Unavailable) else flops * len(subject.batch),
            peak_memory(subject, plan),
            curvature_path(subject) if "curvature" in plan.steps else "",
        )


def peak_memory(subject: Subject, plan: Plan) -> int | None:
    """The estimated peak memory of the plan in bytes.

    None if the model runs, but not with hooks on saved tensors, as is the case for torch.func.
    """
    own = sum(bytes_of(p) for p in (*subject.model.parameters(), *subject.model.buffers()))
    gradients = sum(bytes_of(weight) for weight in subject.weights.values())
    try:
        kept = activation_bytes(subject)
    except ModelFailed:
        check_runs(subject, with_loss=False)
        return None
    if "curvature" in plan.steps:  # activations and their tangents; g, Hw and their sum
        return own + 2 * kept + 3 * gradients
    if "forward" in plan.steps:
        return own + kept + gradients * ("backward" in plan.steps)
    return own


def bytes_of(tensor: Tensor) -> int:
    """The size of a tensor's values in bytes."""
    return tensor.numel() * tensor.element_size()


def activation_bytes(subject: Subject) -> int:
    """The bytes that one micro-batch saves for its backward pass."""
    part = subject.batch[: subject.micro_batch] if subject.micro_batch else subject.batch
    own = dict(named_parameters_of(subject.model)) | dict(named_buffers_of(subject.model))
    shapes = {
        name: shape_only(tensor).requires_grad_(tensor.requires_grad)
        for name, tensor in own.items()
    }
    with subject.undisturbed("explain"), torch.enable_grad():
        with suppress(ForetellError):  # a model that needs values runs on two samples below
            batch = part.each(shape_only)
            return saved_bytes(lambda: call(subject.model, shapes, batch), shapes.values())
        few = part[:2]
        with suppress(ForetellError):  # a model that mixes its samples runs on all of them below
            kept = saved_bytes(lambda: call(subject.model, {}, few), own.values())
            return kept * len(part) // len(few)
        return saved_bytes(lambda: call(subject.model, {}, part), own.values())
