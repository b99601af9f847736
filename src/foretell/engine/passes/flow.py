"""The passes of SynFlow: run a sample of ones through a network with absolute weights, and back.

They differ in how they treat normalisation: `flow` bypasses all normalisations, `reference_flow`
those that the reference code bypasses, and `normed_flow` none.
"""

from contextlib import ExitStack
from inspect import getattr_static
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foretell.batch import main_output
from foretell.engine.failures import ModelFailed, TooFewValues
from foretell.engine.faster.onednn import SafeConvolutions
from foretell.engine.isolate import call, is_batch_norm
from foretell.engine.modules import modules_of, named_buffers_of, named_parameters_of
from foretell.engine.operations import DROPOUTS, NORMS
from foretell.engine.passes.linear_flow import LinearFlow, exponent_of
from foretell.engine.subject import (
    NO_WEIGHTS,
    Found,
    Seconds,
    Subject,
    Unavailable,
    gradient,
    is_finite,
    timed,
)
from foretell.errors import Undefined

__all__ = ["flow_pass", "normed_flow_pass", "reference_flow_pass"]

DROPS = DROPOUTS | {F.alpha_dropout}


def flow_pass(subject: Subject, wanted: set[str], seconds: Seconds) -> Found:
    """The flow without normalisation or dropout, with uniform attention."""
    with timed(seconds, "flow", subject.device), subject.undisturbed("flow", training=False):
        return run_flow(subject, LinearFlow(bypass=NORMS | DROPS, even_attention=True), "flow")


def reference_flow_pass(subject: Subject, wanted: set[str], seconds: Seconds) -> Found:
    """The flow in training mode, without BatchNorm1d and BatchNorm2d unless marked as kept."""
    flow = LinearFlow(bypass=())
    with (
        timed(seconds, "reference_flow", subject.device),
        subject.undisturbed("reference_flow"),
        ExitStack() as hooks,
    ):
        for module in modules_of(subject.model):
            if isinstance(module, BYPASSED) and not getattr_static(module, KEPT, False):
                hooks.callback(module.register_forward_pre_hook(flow.bypass_batch_norm).remove)
                hooks.callback(module.register_forward_hook(flow.bypass_nothing).remove)
        return run_flow(subject, flow, "reference_flow")


BYPASSED = (nn.BatchNorm1d, nn.BatchNorm2d)
"""The normalisations that the reference code bypasses."""

KEPT = "kept_in_reference_synflow"
"""The attribute that marks a normalisation which it does not bypass."""


def run_flow(subject: Subject, flow: LinearFlow, step: str) -> Found:
    """|w|, ∂R/∂|w| and the exponent of R for one sample of ones.

    The flow is computed in float32, or in float64 if the model is in float64 or an operation needs
    the range. Integer inputs (token ids) are not replaced by ones; those of the first sample are
    used.
    """
    names = [f"{step}_weights", f"{step}_grads", f"{step}_exponent"]
    if not subject.weights:
        return dict.fromkeys(names, NO_WEIGHTS)
    own = named_parameters_of(subject.model)
    double = any(parameter.dtype == torch.float64 for _, parameter in own)
    why = ""
    for dtype in [torch.float64] if double else [torch.float32, torch.float64]:
        try:
            return dict(zip(names, flow_in(subject, flow, dtype), strict=True))
        except Undefined as error:
            why = str(error)
        except ModelFailed:
            if not why:
                raise
            why += ", and the model does not run in float64"
    return dict.fromkeys(names, Unavailable(why))


def flow_in(
    subject: Subject, flow: LinearFlow, dtype: torch.dtype
) -> tuple[dict[str, Tensor], dict[str, Tensor], int]:
    """The three quantities, computed in one data type. Raises Undefined if that fails."""

    def typed(tensor: Tensor) -> Tensor:
        tensor = tensor.detach()
        return tensor.to(dtype, copy=True) if tensor.is_floating_point() else tensor.clone()

    model = subject.model
    held = {name: typed(tensor) for name, tensor in named_buffers_of(model)}
    for name, parameter in named_parameters_of(model):  # a custom derivative may need any
        held[name] = typed(parameter).abs_().requires_grad_(parameter.requires_grad)
    weights = {name: held[name].requires_grad_() for name in subject.weights}
    ones = subject.batch[:1].each_shared(
        lambda t: torch.ones_like(t, dtype=dtype) if t.is_floating_point() else t
    )

    def back(outputs: Any) -> tuple[dict[str, Tensor], int]:
        with torch._C.DisableTorchFunction():
            return flow_back(flow, main_output(outputs), weights)

    with torch.enable_grad(), SafeConvolutions(), flow:
        grads, exponent = call(model, held, ones, back)
    return {name: w.detach() for name, w in weights.items()}, grads, exponent


def flow_back(
    flow: LinearFlow, output: Tensor, weights: dict[str, Tensor]
) -> tuple[dict[str, Tensor], int]:
    """∂R/∂|w| and the exponent of R. Raises Undefined if they cannot be computed."""
    flow.check(output)
    total = output.sum()
    if not total.requires_grad:
        raise Undefined("the output does not depend on any trainable weight")
    grads = gradient(total, weights)
    if not all(map(is_finite, (total, *grads.values()))):
        raise Undefined("the flow exceeds the range of floats within one operation")
    return grads, exponent_of(output)


NAMES = ("normed_flow_weights", "normed_flow_grads", "normed_flow_exponent")


def normed_flow_pass(subject: Subject, wanted: set[str], seconds: Seconds) -> Found:
    """The flow without dropout; each BatchNorm uses the statistics of the sample of ones.

    It is computed in float64, since the variance of nearly constant maps is mostly rounding error.
    """
    if not subject.weights:
        return dict.fromkeys(NAMES, NO_WEIGHTS)
    flow = LinearFlow(bypass=DROPS)
    with timed(seconds, "normed_flow", subject.device), subject.undisturbed("normed_flow"):
        for module in modules_of(subject.model):  # only normalisations are in training mode
            module.training &= is_batch_norm(module)
        try:
            return dict(zip(NAMES, flow_in(subject, flow, torch.float64), strict=True))
        except TooFewValues:
            why = Unavailable("BatchNorm has only one value per channel in the flow of one sample")
        except Undefined as error:
            why = Unavailable(str(error))
    return dict.fromkeys(NAMES, why)
