"""FLOPs of a forward pass, from shapes alone where the model runs without values."""

from contextlib import suppress

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from foretell.batch import Batch
from foretell.engine.failures import ModelFailed
from foretell.engine.isolate import call
from foretell.engine.subject import Found, Seconds, Subject, timed

__all__ = ["count_pass", "shape_only"]


def count_pass(subject: Subject, wanted: set[str], seconds: Seconds) -> Found:
    """`forward_flops`, from shapes alone where the model runs without values."""
    with timed(seconds, "count", subject.device):
        return {"forward_flops": counted(subject)}


def counted(subject: Subject) -> int:
    """FLOPs a sample, counted on shapes, else on two samples, else on the whole batch.

    A model needs real samples if it reads values or makes tensors on a device of its own, and the
    whole batch if its samples are the nodes of one graph.
    """
    own = dict(subject.model.named_parameters()) | dict(subject.model.named_buffers())
    shapes = {name: shape_only(tensor) for name, tensor in own.items()}
    with suppress(ModelFailed):
        return flops_of(subject, subject.batch.each(shape_only), shapes)
    with suppress(ModelFailed):
        return flops_of(subject, subject.batch[:2], {})
    return flops_of(subject, subject.batch, {})


def shape_only(tensor: Tensor) -> Tensor:
    """The tensor's shape and type without its values."""
    return tensor.detach().to("meta")


def flops_of(subject: Subject, batch: Batch, replacements: dict[str, Tensor]) -> int:
    """FLOPs a sample of one forward pass."""
    counter = FlopCounterMode(display=False)
    with subject.undisturbed("count"), torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        call(subject.model, replacements, batch)
    return int(counter.get_total_flops()) // len(batch)
