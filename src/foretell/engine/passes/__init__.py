"""The passes: each computes its quantities once, whoever asked for them."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from foretell.batch import Batch
from foretell.engine.isolate import call
from foretell.engine.passes.flow import flow_pass, normed_flow_pass, reference_flow_pass
from foretell.engine.passes.gaussian import gaussian_pass
from foretell.engine.passes.halves import halves_pass
from foretell.engine.passes.loss import loss_pass
from foretell.engine.subject import NO_WEIGHTS, Found, Seconds, Subject, timed
from foretell.errors import ForetellError

__all__ = ["PASSES", "Pass"]

Pass = Callable[[Subject, set[str], Seconds], Found]


def read_pass(subject: Subject, wanted: set[str], seconds: Seconds) -> Found:
    """`parameters` and `weights`, views of the model's own tensors, and `targets`."""
    with timed(seconds, "read", subject.device):
        weights = {name: weight.detach() for name, weight in subject.weights.items()}
        parameters = {name: p.detach() for name, p in subject.model.named_parameters()}
        return {
            "weights": weights or NO_WEIGHTS,
            "parameters": parameters,
            "targets": subject.batch.targets,
        }


def count_pass(subject: Subject, wanted: set[str], seconds: Seconds) -> Found:
    """`forward_flops`, from shapes alone where the model runs without values."""
    with timed(seconds, "count", subject.device):
        own = dict(subject.model.named_parameters()) | dict(subject.model.named_buffers())
        shapes = {name: shape_only(tensor) for name, tensor in own.items()}
        try:
            flops = flops_of(subject, subject.batch.each(shape_only), shapes)
        except ForetellError:
            # It reads values, or makes tensors on a device of its own: count on real samples.
            flops = flops_of(subject, subject.batch[:2], {})
        return {"forward_flops": flops}


def shape_only(tensor: Tensor) -> Tensor:
    """The tensor's shape and type without its values."""
    return tensor.detach().to("meta")


def flops_of(subject: Subject, batch: Batch, replacements: dict[str, Tensor]) -> int:
    """FLOPs a sample of one forward pass."""
    counter = FlopCounterMode(display=False)
    with subject.undisturbed("count"), torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        call(subject.model, replacements, batch)
    return int(counter.get_total_flops()) // len(batch)


PASSES: dict[str, Pass] = {
    "read": read_pass,
    "count": count_pass,
    "loss": loss_pass,
    "flow": flow_pass,
    "reference_flow": reference_flow_pass,
    "normed_flow": normed_flow_pass,
    "halves": halves_pass,
    "gaussian": gaussian_pass,
}
"""The passes by name; `quantities.py` says which steps and quantities are each one's."""
