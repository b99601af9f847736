"""The passes, each of which computes its quantities once for all proxies that need them."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from foretell.engine.failures import (
    LossFailed,
    ModelFailed,
    Nested,
    any_error,
    complaint_of,
    is_out_of_memory,
)
from foretell.engine.isolate import call
from foretell.engine.memory import within_memory
from foretell.engine.modules import named_parameters_of
from foretell.engine.passes.blocks import blocks_pass
from foretell.engine.passes.count import count_pass
from foretell.engine.passes.flow import flow_pass, normed_flow_pass, reference_flow_pass
from foretell.engine.passes.gaussian import gaussian_pass
from foretell.engine.passes.halves import halves_pass
from foretell.engine.passes.loss import loss_pass
from foretell.engine.passes.outputs_by_weights import outputs_by_weights_pass
from foretell.engine.passes.patterns import patterns_pass
from foretell.engine.passes.samples import samples_pass
from foretell.engine.subject import NO_WEIGHTS, Found, Seconds, Subject, Unavailable, timed
from foretell.engine.wrappers import check_seen
from foretell.errors import ForetellError, OutOfMemory, Undefined

__all__ = ["PASSES", "Pass", "check_runs", "found_by"]


Pass = Callable[[Subject, set[str], Seconds], Found]


def read_pass(subject: Subject, wanted: set[str], seconds: Seconds) -> Found:
    """`parameters` and `weights`, which share memory with the model's tensors, and `targets`."""
    with timed(seconds, "read", subject.device):
        return {name: READ[name](subject) for name in wanted}


def weights_of(subject: Subject) -> dict[str, Tensor] | Unavailable:
    """The weights that count, without gradients."""
    return {name: weight.detach() for name, weight in subject.weights.items()} or NO_WEIGHTS


READ: dict[str, Callable[[Subject], Any]] = {
    "weights": weights_of,
    "parameters": lambda subject: {n: p.detach() for n, p in named_parameters_of(subject.model)},
    "targets": lambda subject: subject.batch.targets,
}
"""How the quantities that take no pass are read."""


PASSES: dict[str, Pass] = {
    "read": read_pass,
    "count": count_pass,
    "loss": loss_pass,
    "flow": flow_pass,
    "reference_flow": reference_flow_pass,
    "normed_flow": normed_flow_pass,
    "halves": halves_pass,
    "gaussian": gaussian_pass,
    "blocks": blocks_pass,
    "patterns": patterns_pass,
    "outputs_by_weights": outputs_by_weights_pass,
    "samples": samples_pass,
}
"""The passes by name; `quantities.py` assigns steps and quantities to them."""


HOW = {
    "read": "at all",
    "count": "with a FLOP counter",
    "loss": "while its operations are observed",
    "flow": "with absolute weights on one sample of ones",
    "reference_flow": "with absolute weights on one sample of ones",
    "normed_flow": "in float64 with absolute weights on one sample of ones",
    "halves": "on half of the batch",
    "gaussian": "with weights and inputs drawn from N(0, 1)",
    "blocks": "on noise with Kaiming weights",
    "patterns": "with weights drawn from N(0, 1)",
    "outputs_by_weights": "on one sample in evaluation mode",
    "samples": "on one sample of the batch",
}
"""How each pass runs the model, as stated in the reason if it fails."""


REPLACING = {
    "flow",
    "reference_flow",
    "normed_flow",
    "gaussian",
    "blocks",
    "patterns",
    "outputs_by_weights",
}
"""Passes that replace tensors or operations of the model."""


def found_by(name: str, subject: Subject, wanted: set[str], seconds: Seconds) -> Found:
    """The wanted quantities of one pass, or the reason for each if the pass cannot run.

    Raises ForetellError for failures that affect every pass: the model does not run on the batch,
    or the loss cannot be computed from its outputs. Also raises OutOfMemory instead of returning a
    reason, since a score must not depend on the free memory.
    """
    return within_memory(
        lambda: found_or_why(name, subject, wanted, seconds),
        lambda: OutOfMemory(
            f"out of memory when the model is run {HOW[name]}, where micro-batches do not help; "
            "use a device with more memory"
        ),
    )


def found_or_why(name: str, subject: Subject, wanted: set[str], seconds: Seconds) -> Found:
    """The wanted quantities of one pass, or the reason for each if the pass cannot run.

    If the pass fails, it runs again for each quantity by itself, so that only those are undefined
    that need what fails.
    """
    try:
        if name in REPLACING:
            check_seen(subject.model)
        return PASSES[name](subject, wanted, seconds)
    except Undefined as error:
        return dict.fromkeys(wanted, Unavailable(str(error)))
    except Nested as error:
        why = str(error)
    except ModelFailed as error:
        check_runs(subject, with_loss=isinstance(error, LossFailed))
        why = f"the model does not run {HOW[name]} ({error.complaint}){next_step(error)}"
    except ForetellError:
        raise
    except any_error() as error:
        if is_out_of_memory(error):
            raise
        why = f"{complaint_of(error)}, when the model is run {HOW[name]}; please report this error"
    if len(wanted) == 1:
        return dict.fromkeys(wanted, Unavailable(why))
    found: Found = {}
    for one in sorted(wanted):
        found |= found_or_why(name, subject, {one}, seconds)
    return found


def check_runs(subject: Subject, *, with_loss: bool) -> None:
    """Raise ModelFailed if the unchanged model does not run on the whole batch."""
    with subject.undisturbed("check"), torch.enable_grad():
        outputs = call(subject.model, {}, subject.batch.each(torch.clone))
        if with_loss:
            subject.loss_of(outputs, subject.batch.targets)


def next_step(error: ModelFailed) -> str:
    """Advice to the user, if the error message of the model shows the cause."""
    if any(word in error.complaint for word in ("dtype", "Double", "double")):
        return "; create tensors in it with the data type of its input (x.new_zeros)"
    return ""
