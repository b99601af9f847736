"""Everything that continues from one forward pass of the minibatch."""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from foretell.batch import Batch, change_all, main_output, tensors
from foretell.engine.curvature.tangents import Tangents
from foretell.engine.failures import Inexact, ModelFailed
from foretell.engine.faster.channels_last import (
    ChannelsLast,
    LayoutGuard,
    LayoutMattersError,
    in_own_layout,
)
from foretell.engine.faster.pools import QuickPools
from foretell.engine.isolate import call
from foretell.engine.memory import smaller, within_memory
from foretell.engine.microbatch import check_exact, check_loss_is_a_mean, split
from foretell.engine.observers.activation_codes import Codes
from foretell.engine.observers.layer_outputs import Watch
from foretell.engine.subject import (
    NO_WEIGHTS,
    Found,
    Seconds,
    Subject,
    Unavailable,
    differentiated,
    gradient,
    timed,
)
from foretell.engine.wrappers import check_seen
from foretell.errors import Undefined

__all__ = ["loss_pass"]

NO_OUTPUT = Unavailable("the model returns its loss and no output for each sample")


WATCHED = {"taylor", "fan_in", "codes_kernel"}
"""What is noted of each operation that passes by."""


FROM_LOSS = {"grads", "taylor", "fan_in", "hessian_weights"}


def loss_pass(subject: Subject, wanted: set[str], seconds: Seconds) -> Found:
    """The wanted ones of the quantities whose step belongs to this pass.

    Raises OutOfMemory where memory does not suffice, saying which micro-batch would fit.
    """
    found: Found = {}
    try:
        check_seen(subject.model)
    except Undefined as error:
        found = dict.fromkeys(wanted & WATCHED, Unavailable(str(error)))
    seen = wanted - set(found)
    return found | within_memory(
        lambda: in_parts(subject, seen, seconds),
        lambda: smaller(subject, lambda part: in_parts(part, seen, {})),
    )


@dataclass(frozen=True)
class Job:
    """What is wanted of each part of a batch."""

    subject: Subject
    wanted: set[str]
    seconds: Seconds = field(default_factory=dict)
    codes: Codes | None = None
    axes: list[int | None] | None = None
    """Where the samples lie in each layer's output, for parts too small to tell."""


@dataclass
class Part:
    """What one part of the batch gives; its loss is already weighted by its share."""

    found: Found
    outputs: Any
    loss: float | None


def in_parts(subject: Subject, wanted: set[str], seconds: Seconds) -> Found:
    """Run the batch in the parts asked for."""
    parts = split(subject.batch, subject.micro_batch)
    axes = check_exact(subject) if len(parts) > 1 else None
    codes = Codes(in_parts=len(parts) > 1) if "codes_kernel" in wanted else None
    job = Job(subject, wanted, seconds, codes, axes)
    totals = Totals()
    for index, part in enumerate(parts):
        totals.add(in_any_layout(job, index, part))
    if len(parts) > 1 and totals.loss is not None:
        check_loss_is_a_mean(subject, totals.outputs, totals.loss)
    return totals.found | ({"codes_kernel": codes.kernel()} if codes else {})


def in_any_layout(job: Job, index: int, part: Batch) -> Part:
    """Run one part of the batch, its pictures channels-last unless the model can tell."""
    if not job.subject.faster:
        return one_part(job, index, part)
    try:
        return one_part(job, index, part, ChannelsLast(tf32=job.subject.tf32))
    except LayoutMattersError:
        if job.codes:
            job.codes.forget_last()
    # Outside the handler, whose traceback would keep the first attempt's tensors alive.
    return one_part(job, index, part)


def curvature_path(subject: Subject) -> str:
    """How `hessian_weights` is computed for this model, tried on two samples, else on all."""
    try:
        return curvature_path_on(subject, subject.batch[:2])
    except ModelFailed:
        return curvature_path_on(subject, subject.batch)


def curvature_path_on(subject: Subject, few: Batch) -> str:
    """The same, tried on these samples."""
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
    """The tangents along the weights; where no shortcut is wanted, they are given up at once."""
    failed = "" if subject.faster else "faster is False"
    return Tangents(subject.weights, samples, failed)


@dataclass
class Totals:
    """What the parts add up to: sums over weights, rows over samples."""

    found: Found = field(default_factory=dict)
    outputs: list[Any] = field(default_factory=list)
    loss: float | None = None

    def add(self, part: Part) -> None:
        """Take in one more part."""
        self.outputs.append(part.outputs)
        if part.loss is not None:
            self.loss = (self.loss or 0.0) + part.loss
        for name, value in part.found.items():
            self.found[name] = (
                joined(name, self.found[name], value) if name in self.found else value
            )


def joined(name: str, so_far: Any, value: Any) -> Any:
    """A quantity of two parts of a batch, from the quantity of each."""
    if isinstance(so_far, Unavailable) or name in ("fan_in", "output_width"):
        return so_far
    if name == "input_grads":
        return torch.cat([so_far, value])
    if name == "taylor":
        return {layer: torch.cat([so_far[layer], rows]) for layer, rows in value.items()}
    return {weight: so_far[weight] + tensor for weight, tensor in value.items()}


def one_part(job: Job, index: int, part: Batch, layout: ChannelsLast | None = None) -> Part:
    """Run one part of the batch forward, and back as often as the wanted quantities need."""
    subject, wanted = job.subject, job.wanted
    by_input = "input_grads" in wanted
    fed = part.each(lambda t: t.detach().requires_grad_(by_input and t.is_floating_point()))
    watch = Watch(
        subject.weights,
        len(part),
        tensors(fed.inputs),
        tapping=bool(wanted & {"taylor", "fan_in"}),
        only_these=subject.layers != "all",
        known_axes=job.axes,
    )
    tangents = tangents_of(subject, len(part)) if "hessian_weights" in wanted else None
    try:
        with (
            subject.undisturbed("loss", index),
            sdpa_kernel(SDPBackend.MATH),  # the kernel that can be differentiated twice
            torch.enable_grad(),
        ):
            outputs = forward(job, fed, watch, tangents, layout)
            return back(job, fed, part.targets, outputs, watch, tangents)
    finally:  # their hold on the graph, which holds them, is beyond the garbage collector
        watch.let_go()
        if tangents is not None:
            tangents.let_go()


def forward(
    job: Job, fed: Batch, watch: Watch, tangents: Tangents | None, layout: ChannelsLast | None
) -> Any:
    """The model's outputs, with whatever looks on."""
    with (
        timed(job.seconds, "forward", job.subject.device),
        layout or nullcontext(),
        QuickPools() if job.subject.faster else nullcontext(),
        watch,
        tangents or nullcontext(),
        job.codes.of(len(fed)) if job.codes else nullcontext(),
        LayoutGuard(layout) if layout else nullcontext(),  # sees what the model itself asks for
    ):
        # A copy of the inputs: the model may work in place on them.
        outputs = call(job.subject.model, {}, fed.each(torch.clone))
        return in_own_layout(outputs) if layout and layout.turned else outputs


def back(
    job: Job,
    fed: Batch,
    targets: Any,
    outputs: Any,
    watch: Watch,
    tangents: Tangents | None,
) -> Part:
    """What follows from the outputs."""
    subject, wanted, seconds = job.subject, job.wanted, job.seconds
    found: Found = {}
    if "output_width" in wanted:
        found["output_width"] = output_width(outputs)
    from_loss = wanted & FROM_LOSS
    if "input_grads" in wanted:
        with timed(seconds, "jacobian", subject.device):
            sources = [t for t in fed.shared if t.requires_grad]
            found["input_grads"] = jacobian(outputs, sources, keep_graph=bool(from_loss))
    loss = None
    if from_loss:
        share = len(fed) / len(subject.batch)
        with tangents or nullcontext():
            loss = subject.loss_of(outputs, targets) * share
        if tangents is not None:
            tangents.check(loss)
        found |= backward(loss, watch, tangents, from_loss, seconds, subject.device)
        found |= weights_written_to(subject)
    return Part(found, without_graph(outputs), None if loss is None else loss.item())


def weights_written_to(subject: Subject) -> Found:
    """The weights as the forward pass left them, if it wrote to any: the gradients are at these."""
    assert subject.state is not None
    if not any(map(subject.state.wrote_to, subject.weights.values())):
        return {}
    if subject.micro_batch is not None and subject.micro_batch < len(subject.batch):
        raise Inexact("the model writes to its own weights while it runs")
    return {"weights": {name: w.detach().clone() for name, w in subject.weights.items()}}


def output_width(outputs: Any) -> int | Unavailable:
    """The length of the main output's last axis."""
    try:
        output = main_output(outputs)
    except Undefined as error:
        return Unavailable(str(error))
    return output.shape[-1] if output.ndim else NO_OUTPUT


def jacobian(outputs: Any, sources: list[Tensor], *, keep_graph: bool) -> Tensor | Unavailable:
    """∂(sum of a sample's outputs)/∂(its inputs), `[N, D]`."""
    try:
        output = main_output(outputs)
    except Undefined as error:
        return Unavailable(str(error))
    if not sources:
        return Unavailable("the inputs are integers: nothing can be differentiated by them")
    if output.ndim == 0:
        return NO_OUTPUT
    if not output.requires_grad:
        return Unavailable("the output does not depend on the inputs")
    try:
        rows = differentiated(output.sum(), sources, keep_graph)
    except Undefined as error:
        return Unavailable(str(error))
    joined_rows: Tensor = precise(torch.cat([row.flatten(1) for row in rows], dim=1))
    return joined_rows


def backward(
    loss: Tensor,
    watch: Watch,
    tangents: Tangents | None,
    wanted: set[str],
    seconds: Seconds,
    device: torch.device,
) -> Found:
    """`grads`, `taylor` and `fan_in` by one backward pass, `hessian_weights` by one more."""
    weights = watch.weights
    if not weights:
        return dict.fromkeys(wanted, NO_WEIGHTS)
    if not loss.requires_grad:
        return dict.fromkeys(
            wanted, Unavailable("the loss does not depend on any trainable weight")
        )
    if tangents is not None:
        tangents.forget()
        tangents.curvature.armed = not tangents.failed
    try:
        with timed(seconds, "backward", device), watch.armed(loss):
            grads = gradient(loss, weights, keep_graph=tangents is not None)
    except Undefined as error:
        return dict.fromkeys(wanted, Unavailable(str(error)))
    found: Found = {"grads": precise(grads), **tapped(watch, loss, grads)}
    if tangents is not None:
        tangents.curvature.armed = False
        tangents.check_gradient(grads, weights)
        move_time(seconds, tangents.curvature.seconds)
        with timed(seconds, "curvature", device):
            product = hessian_product(loss, tangents, grads, weights)
            found["hessian_weights"] = precise(product)
    return {name: value for name, value in found.items() if name in wanted}


def move_time(seconds: Seconds, shared: float) -> None:
    """Count as the curvature's what the backward pass computed for it."""
    seconds["backward"] = seconds.get("backward", 0.0) - shared
    seconds["curvature"] = seconds.get("curvature", 0.0) + shared


def precise(tensors: Any) -> Any:
    """Half-precision tensors as float32, in which their sums are formed; others as they are."""
    halves = (torch.float16, torch.bfloat16)
    return change_all(tensors, lambda t: t.float() if t.dtype in halves else t)


def hessian_product(
    loss: Tensor,
    tangents: Tangents,
    grads: dict[str, Tensor],
    weights: dict[str, Tensor],
) -> dict[str, Tensor] | Unavailable:
    """H w by the tangents where they go all the way, by a double backward where they don't."""
    if not tangents.failed:
        try:
            return tangents.curvature.product(grads, weights)
        except Undefined as error:  # an operation can't be differentiated often enough
            tangents.failed = str(error)
    try:
        return by_double_backward(gradient(loss, weights, create_graph=True), weights)
    except Undefined as error:
        return Unavailable(f"{error} (twice)")


def by_double_backward(
    grads: Mapping[str, Tensor], weights: dict[str, Tensor]
) -> dict[str, Tensor]:
    """H w, by differentiating wᵀg once more with w held constant."""
    slope = torch.stack([(w.detach() * grads[name]).sum() for name, w in weights.items()]).sum()
    if not slope.requires_grad:  # the loss is linear in the weights
        return {name: torch.zeros_like(w) for name, w in weights.items()}
    return gradient(slope, weights)


def tapped(watch: Watch, loss: Tensor, grads: dict[str, Tensor]) -> Found:
    """`taylor` and `fan_in` of the layers that were tapped."""
    if not watch.tapping:
        return {}
    why = watch.out_of_sight(loss, grads)
    lost = [tap.name for tap in watch.taps if tap.overwritten]
    if lost and not why:
        why = f"the output of {lost[0]} was overwritten before it could be read"
    if not watch.taps and not why:
        why = "no layer that counts has an output for each sample"
    if why:
        return dict.fromkeys(("taylor", "fan_in"), Unavailable(why))
    return {
        "taylor": {tap.name: tap.terms() for tap in watch.taps},
        "fan_in": {tap.name: tap.fan_in for tap in watch.taps},
    }


def without_graph(outputs: Any) -> Any:
    """The outputs, holding on to no graph."""
    return change_all(outputs, lambda tensor: tensor.detach())
