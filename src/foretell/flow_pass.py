"""SynFlow's two flows: free of every batch normalisation, and as the reference's code has it."""

from contextlib import ExitStack

import torch
from torch import Tensor, nn

from foretell.batch import main_output
from foretell.errors import Undefined
from foretell.flow import BATCH_NORMS, DROPOUTS, LinearFlow, exponent_of
from foretell.isolate import call
from foretell.subject import NO_WEIGHTS, Found, Seconds, Subject, Unavailable, gradient, timed

__all__ = ["flow_pass", "reference_flow_pass"]


def flow_pass(subject: Subject, wanted: set[str], seconds: Seconds) -> Found:
    """The flow without batch normalisation, dropout or anything else that is random."""
    with timed(seconds, "flow", subject.device), subject.undisturbed("flow", training=False):
        return run_flow(subject, LinearFlow(bypass=BATCH_NORMS | DROPOUTS), "flow")


def reference_flow_pass(subject: Subject, wanted: set[str], seconds: Seconds) -> Found:
    """The flow in training mode, without BatchNorm1d and BatchNorm2d save those marked as kept."""
    flow = LinearFlow(bypass=())
    with (
        timed(seconds, "reference_flow", subject.device),
        subject.undisturbed("reference_flow"),
        ExitStack() as hooks,
    ):
        for module in subject.model.modules():
            kept = getattr(module, "kept_in_reference_synflow", False)
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and not kept:
                hooks.callback(module.register_forward_pre_hook(flow.bypass_batch_norm).remove)
                hooks.callback(module.register_forward_hook(flow.bypass_nothing).remove)
        return run_flow(subject, flow, "reference_flow")


def run_flow(subject: Subject, flow: LinearFlow, step: str) -> Found:
    """|w|, ∂R/∂|w| and the exponent of R for one sample of ones, in float64.

    Integer inputs (token numbers) have no ones; the first sample's own are used.
    """
    names = [f"{step}_weights", f"{step}_grads", f"{step}_exponent"]
    model = subject.model
    absolute = {name: positive(tensor) for name, tensor in model.named_buffers()}
    absolute |= {name: positive(tensor) for name, tensor in model.named_parameters()}
    weights = {name: absolute[name].requires_grad_() for name in subject.weights}
    if not weights:
        return dict.fromkeys(names, NO_WEIGHTS)
    ones = subject.batch[:1].each(
        lambda t: torch.ones_like(t, dtype=torch.float64) if t.is_floating_point() else t
    )
    with torch.enable_grad():
        try:
            with flow:
                output = main_output(call(model, absolute, ones))
        except Undefined as error:
            return dict.fromkeys(names, Unavailable(str(error)))
        total = output.sum()
        if not total.requires_grad:
            why = Unavailable("the output does not depend on any trainable weight")
            return dict.fromkeys(names, why)
        grads = gradient(total, weights)
    detached = {name: weight.detach() for name, weight in weights.items()}
    return dict(zip(names, (detached, grads, exponent_of(output)), strict=True))


def positive(tensor: Tensor) -> Tensor:
    """|tensor| in float64; a tensor of integers as it is."""
    tensor = tensor.detach()
    return tensor.abs().double() if tensor.is_floating_point() else tensor
