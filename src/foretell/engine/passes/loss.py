"""The loss pass: all quantities that start from one forward pass of the minibatch."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from foretell.batch import Batch, change_all, main_output, tensors
from foretell.engine.curvature.tangents import Tangents
from foretell.engine.failures import Inexact, LossFailed, ModelFailed, Nested
from foretell.engine.faster.channels_last import (
    ChannelsLast,
    LayoutGuard,
    LayoutMattersError,
    in_own_layout,
)
from foretell.engine.faster.onednn import SafeConvolutions
from foretell.engine.faster.pools import QuickPools
from foretell.engine.graph import is_foreign, one_of_each
from foretell.engine.isolate import call
from foretell.engine.memory import smaller, within_memory
from foretell.engine.microbatch import check_exact, check_loss_is_a_mean, split
from foretell.engine.modules import named_modules_of
from foretell.engine.observer import Observer
from foretell.engine.observers.activation_codes import Codes
from foretell.engine.observers.attention import ATTENTION_QUANTITIES, Attention
from foretell.engine.observers.bends import Bends
from foretell.engine.observers.channels import (
    CHANNEL_QUANTITIES,
    MODULE_QUANTITIES,
    Channels,
)
from foretell.engine.observers.layer_outputs import Watch
from foretell.engine.observers.layer_rows import ROW_QUANTITIES, LayerRows
from foretell.engine.observers.responses import (
    RESPONSE_QUANTITIES,
    Responses,
    correlated,
    rows_of_both,
)
from foretell.engine.observers.samples import Number, Samples
from foretell.engine.passes.differences import disagreement
from foretell.engine.passes.hessian import doubtful, hessian_product, tangents_of
from foretell.engine.passes.trial import Still, Tables, settle
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
from foretell.proxies.quantities import QUANTITIES

__all__ = ["loss_pass"]

NO_OUTPUT = Unavailable("the model returns its loss and no output for each sample")


OTHER_LAYERS = Unavailable(
    "parts of the batch do not run the same layers, or not on as many positions per sample; use "
    "micro_batch=None"
)


TAPPED = {"taylor", "fan_in"}
"""The quantities that are computed from the outputs of layers."""


FORWARD = CHANNEL_QUANTITIES | ROW_QUANTITIES | ATTENTION_QUANTITIES
"""The quantities that are known after the forward pass."""


WATCHED = TAPPED | FORWARD | RESPONSE_QUANTITIES | {"codes_kernel"}
"""The quantities that require the operations to be observed."""


FROM_LOSS = {"grads", "taylor", "fan_in", "hessian_weights"}


def loss_pass(subject: Subject, wanted: set[str], seconds: Seconds) -> Found:
    """Compute the wanted quantities of this pass.

    Raises OutOfMemory, with a micro-batch that fits, if memory does not suffice.
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
    """The request, which is the same for each part of the batch."""

    subject: Subject
    wanted: set[str]
    seconds: Seconds = field(default_factory=dict)
    codes: Codes | None = None
    tables: Tables = field(default_factory=dict)
    """The layouts of tables that a trial has found."""
    doubts: list[bool] = field(default_factory=list)
    """Whether the `hessian_weights` of each part must be checked."""
    by_input: bool = True
    """Whether the inputs require gradients."""


@dataclass
class Part:
    """The results of one part of the batch; its loss is weighted by its share."""

    found: Found
    outputs: Any
    loss: float | None
    taps: tuple[object, ...] = ()
    """A key for each tapped layer; the keys are equal for parts that run the same layers."""


def in_parts(subject: Subject, wanted: set[str], seconds: Seconds, *, check: bool = True) -> Found:
    """Run the batch in the requested parts, with inputs that require gradients if possible."""
    try:
        return by_parts(subject, wanted, seconds, check=check)
    except LossFailed:
        raise
    except ModelFailed as error:
        if isinstance(error, Nested) or takes_gradients(subject):
            raise
        why = f"the model does not run on inputs that require gradients ({error.complaint})"
    found = dict.fromkeys(wanted & {"input_grads"}, Unavailable(why))
    rest = wanted - set(found)
    return found | by_parts(subject, rest, seconds, check=check, by_input=False)


def takes_gradients(subject: Subject) -> bool:
    """Whether the unchanged model runs on inputs that require gradients."""
    fed = as_fed(subject.batch)
    try:
        with subject.undisturbed("check"), torch.enable_grad():
            call(subject.model, {}, fed.each(torch.clone))
    except ModelFailed:
        return False
    return True


def by_parts(
    subject: Subject, wanted: set[str], seconds: Seconds, *, check: bool, by_input: bool = True
) -> Found:
    """Run the batch in the requested parts, and check doubtful results."""
    check &= "hessian_weights" in wanted
    parts = split(subject.batch, subject.micro_batch)
    if len(parts) > 1:
        check_exact(subject)
    codes = Codes(in_parts=len(parts) > 1) if "codes_kernel" in wanted else None
    job = Job(subject, wanted, seconds, codes, by_input=by_input)
    totals = Totals()
    for index, part in enumerate(parts):
        totals.add(in_any_layout(job, index, part))
    if len(parts) > 1 and totals.loss is not None:
        check_loss_is_a_mean(subject, totals.outputs, totals.loss)
    found = totals.found | ({"codes_kernel": codes.kernel()} if codes else {})
    responses = found.get("response_correlations")
    if len(parts) > 1 and isinstance(responses, list):
        found["response_correlations"] = correlated(responses)
    if check and (subject.verify or any(job.doubts)):
        found["hessian_weights"] = checked(subject, found["hessian_weights"], seconds)
    return found


def checked(subject: Subject, product: Any, seconds: Seconds) -> Any:
    """`hessian_weights`, or the reason why an independent check does not confirm them."""
    if isinstance(product, Unavailable):
        return product
    with timed(seconds, "curvature", subject.device):
        why = disagreement(subject, lambda part, wanted: in_parts(part, wanted, {}, check=False))
    return Unavailable(why) if why else product


def in_any_layout(job: Job, index: int, part: Batch) -> Part:
    """Run one part of the batch, channels-last unless the model depends on the layout."""
    if not job.subject.faster:
        return one_part(job, index, part)
    try:
        return one_part(job, index, part, ChannelsLast(tf32=job.subject.tf32))
    except LayoutMattersError:
        if job.codes:
            job.codes.forget_last()
    # Outside the handler, whose traceback would keep the first attempt's tensors alive.
    return one_part(job, index, part)


@dataclass
class Totals:
    """The combined results of several parts: gradients are summed, rows of samples concatenated."""

    found: Found = field(default_factory=dict)
    outputs: list[Any] = field(default_factory=list)
    loss: float | None = None
    taps: set[tuple[object, ...]] = field(default_factory=set)

    def add(self, part: Part) -> None:
        """Add one more part."""
        self.outputs.append(part.outputs)
        self.taps.add(part.taps)
        if len(self.taps) > 1:
            for name in part.found.keys() & TAPPED:
                self.found[name] = OTHER_LAYERS
        if part.loss is not None:
            self.loss = (self.loss or 0.0) + part.loss
        for name, value in part.found.items():
            self.found[name] = (
                joined(name, self.found[name], value) if name in self.found else value
            )


ADDED_UP = {"activation_moments", "attention_peaks", "feed_forward_moments"}
"""Quantities that are sums over the samples by the name of a layer."""


OF_THE_FIRST = {"fan_in", "output_width", "layer_roles"} | MODULE_QUANTITIES
"""Quantities of one sample, or that are equal for all parts."""


def joined(name: str, so_far: Any, value: Any) -> Any:
    """Combine a quantity of two parts of a batch."""
    if isinstance(so_far, Unavailable) or name in OF_THE_FIRST:
        return so_far
    if isinstance(value, Unavailable):
        return value
    if name in RESPONSE_QUANTITIES:
        return rows_of_both(so_far, value)
    if name == "input_grads":
        return torch.cat([so_far, value])
    if name in ADDED_UP:
        return of_both(so_far, value, torch.add)
    if name == "taylor" or name in FORWARD:
        return of_both(so_far, value, lambda one, other: torch.cat([one, other]))
    return {weight: so_far[weight] + tensor for weight, tensor in value.items()}


def of_both(
    so_far: dict[str, Tensor], value: dict[str, Tensor], join: Callable[[Tensor, Tensor], Tensor]
) -> dict[str, Tensor]:
    """Combine the tensors of two parts of a batch for each layer."""
    if so_far.keys() != value.keys():
        raise Inexact("the model does not run the same layers for each sample")
    return {layer: join(so_far[layer], tensor) for layer, tensor in value.items()}


def one_part(job: Job, index: int, part: Batch, layout: ChannelsLast | None = None) -> Part:
    """Run one part of the batch forward, and backward as often as the wanted quantities require."""
    subject, wanted = job.subject, job.wanted
    fed = as_fed(part, by_input=job.by_input)
    samples = Samples(fed, subject.held) if wanted & WATCHED else None
    watch = watch_of(job, samples)
    lookers = lookers_of(job, fed, samples, watch, index)
    tangents = tangents_of(subject, len(part)) if "hessian_weights" in wanted else None
    try:
        with in_training(job, index):
            outputs = forward(job, fed, samples, watch, tangents, lookers, layout)
            respond(job, outputs, lookers)
            result = back(job, fed, part.targets, outputs, watch, tangents)
        if samples is not None:
            settle(samples, partial(on_trial, job, index), part, job.tables)
        if job.codes:
            job.codes.settle()
        found = tapped(watch, wanted) | seen_by(job, lookers) | result.found
        return replace(result, found=found, taps=watch.kinds)
    finally:  # their reference cycle with the graph is invisible to the garbage collector
        watch.let_go()
        if tangents is not None:
            tangents.let_go()


def as_fed(part: Batch, *, by_input: bool = True) -> Batch:
    """A copy of the inputs, which require gradients even if they are not wanted.

    Some operations run another kernel then, so that scores would depend on what else is asked for.
    """
    inputs = Batch(part.inputs)  # observers would take targets for numbers of unknown origin
    return inputs.each(lambda t: t.detach().requires_grad_(by_input and t.is_floating_point()))


@contextmanager
def in_training(job: Job, index: int) -> Iterator[None]:
    """Within the block, the model is in training mode, with the random stream of a part."""
    with (
        job.subject.undisturbed("loss", index),
        sdpa_kernel(SDPBackend.MATH),  # the kernel that can be differentiated twice
        torch.enable_grad(),
    ):
        yield


def on_trial(job: Job, index: int, part: Batch, printing: Collection[Number]) -> Samples:
    """Run the model once more on other samples to find where they are in each tensor."""
    fed, subject = as_fed(part, by_input=job.by_input), job.subject
    samples = Samples(fed, subject.held, printing)
    watch = watch_of(job, samples)
    codes = Codes().of(samples) if job.codes else None
    lookers = lookers_of(job, fed, samples, watch, index)
    with in_training(job, index), Still(), samples, watch, looking(samples, codes, lookers):
        call(subject.model, {}, fed.each(torch.clone))
    return samples


Lookers = list[tuple[Channels | LayerRows | Responses | Attention, set[str]]]
"""Observers of a forward pass besides `Watch`, with the quantities that each provides."""


def watch_of(job: Job, samples: Samples | None) -> Watch:
    """The observer of layers."""
    layers = samples if job.wanted & (TAPPED | FORWARD) else None
    return Watch(job.subject.weights, layers, tapping=bool(job.wanted & TAPPED))


def lookers_of(job: Job, fed: Batch, samples: Samples | None, watch: Watch, index: int) -> Lookers:
    """The observers that the wanted quantities require."""
    lookers: Lookers = []
    subject, inputs = job.subject, tensors(fed.inputs)
    if samples is None:
        return lookers
    if of_channels := job.wanted & CHANNEL_QUANTITIES:
        modules = named_modules_of(subject.model)
        channels = Channels(of_channels, inputs, samples, watch, subject.seed, modules=modules)
        lookers.append((channels, of_channels))
    if of_rows := job.wanted & ROW_QUANTITIES:
        start, total = index * (subject.micro_batch or 0), len(subject.batch)
        rows = LayerRows(inputs, samples, watch, subject.seed, start=start, total=total)
        lookers.append((rows, of_rows))
    if of_responses := job.wanted & RESPONSE_QUANTITIES:
        in_parts = len(fed) < len(subject.batch)
        lookers.append((Responses(samples, in_parts=in_parts), of_responses))
    if of_attention := job.wanted & ATTENTION_QUANTITIES:
        lookers.append((Attention(of_attention, inputs, samples, watch), of_attention))
    return lookers


@contextmanager
def looking(samples: Samples | None, codes: Codes | None, lookers: Lookers) -> Iterator[None]:
    """Within the block, the observers of codes and the others are active."""
    takers = [*([codes] if codes else []), *(looker for looker, _ in lookers)]
    with ExitStack() as stack:
        for taker in takers:
            if isinstance(taker, Observer):
                stack.enter_context(taker)
        if samples is not None and takers:
            stack.enter_context(Bends(samples, takers))
        yield


def respond(job: Job, outputs: Any, lookers: Lookers) -> None:
    """Compute the gradients with respect to the inputs of activations, if they are wanted."""
    for looker, _ in lookers:
        if isinstance(looker, Responses):
            more = job.wanted & (FROM_LOSS | {"input_grads"})
            with timed(job.seconds, "responses", job.subject.device):
                looker.differentiate(outputs, keep_graph=bool(more))


def forward(
    job: Job,
    fed: Batch,
    samples: Samples | None,
    watch: Watch,
    tangents: Tangents | None,
    lookers: Lookers,
    layout: ChannelsLast | None,
) -> Any:
    """The outputs of the model, with all observers active."""
    with (
        timed(job.seconds, "forward", job.subject.device),
        layout or SafeConvolutions(),
        QuickPools() if job.subject.faster else nullcontext(),
        samples or nullcontext(),
        watch,
        tangents or nullcontext(),
        looking(samples, job.codes.of(samples) if job.codes and samples else None, lookers),
        LayoutGuard(layout) if layout else nullcontext(),  # it sees only the model's own calls
    ):
        # A copy of the inputs: the model may work in place on them.
        outputs = call(job.subject.model, {}, fed.each(torch.clone))
        return in_own_layout(outputs) if layout and layout.turned else outputs


def seen_by(job: Job, lookers: Lookers) -> Found:
    """The quantities that the other observers have recorded."""
    found: Found = {}
    for looker, names in lookers:
        looker.waiting.settle()
        for name in sorted(names):
            with timed(job.seconds, QUANTITIES[name].step, job.subject.device):
                found[name] = looker.quantity(name)
    return found


def back(
    job: Job,
    fed: Batch,
    targets: Any,
    outputs: Any,
    watch: Watch,
    tangents: Tangents | None,
) -> Part:
    """The quantities that are computed from the outputs."""
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
        if why := not_finite(loss, outputs):
            found |= dict.fromkeys(from_loss, Unavailable(why))
        else:
            found |= backward(job, fed, loss, watch, tangents)
            found |= weights_written_to(subject)
    return Part(found, without_graph(outputs), None if loss is None else loss.item())


def not_finite(loss: Tensor, outputs: Any) -> str:
    """The reason why a nan or infinite loss has no gradient; empty for a finite loss."""
    if loss.isfinite():
        return ""
    kind = "nan" if loss.isnan() else "infinite"
    output = next(iter(tensors(outputs)), loss)
    also = "" if output.isfinite().all() else ", and the model's outputs are not finite"
    return f"the loss is {kind}{also}"


def writes_to_weights(subject: Subject) -> bool:
    """Whether the forward pass wrote to the weights, so that it depends on others than given."""
    assert subject.state is not None
    return any(map(subject.state.wrote_to, subject.weights.values()))


def weights_written_to(subject: Subject) -> Found:
    """The weights after the forward pass, if it changed them: gradients are taken there."""
    if not writes_to_weights(subject):
        return {}
    if subject.micro_batch is not None and subject.micro_batch < len(subject.batch):
        raise Inexact("the model writes to its own weights while it runs")
    return {"weights": {name: w.detach().clone() for name, w in subject.weights.items()}}


def output_width(outputs: Any) -> int | Unavailable:
    """The length of the last axis of the main output."""
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
        return Unavailable(
            "the inputs are integers, and nothing can be differentiated with respect to them"
        )
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


def backward(job: Job, fed: Batch, loss: Tensor, watch: Watch, tangents: Tangents | None) -> Found:
    """`grads` by one backward pass, which also fills the taps; `hessian_weights` by another one."""
    wanted, seconds, device = job.wanted & FROM_LOSS, job.seconds, job.subject.device
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
            nodes = one_of_each([loss])
            also = behind_custom_functions(fed, nodes)
            grads = gradient(loss, weights, also, keep_graph=tangents is not None)
    except Undefined as error:
        return dict.fromkeys(wanted, Unavailable(str(error)))
    watch.witness(loss, grads)
    found: Found = {"grads": precise(grads)}
    if tangents is not None:
        tangents.curvature.armed = False
        shared = tangents.curvature.seconds  # computed by the backward pass, too
        seconds["backward"] = seconds.get("backward", 0.0) - shared
        seconds["curvature"] = seconds.get("curvature", 0.0) + shared
        with timed(seconds, "curvature", device):
            tangents.check_gradient(grads, weights)
            if tangents.cut and writes_to_weights(job.subject):
                tangents.cut = False  # it computes the new weights
            job.doubts.append(doubtful(nodes, tangents))
            product = hessian_product(loss, tangents, grads, weights)
            found["hessian_weights"] = precise(product)
    return {name: value for name, value in found.items() if name in wanted}


def behind_custom_functions(fed: Batch, nodes: Sequence[Any]) -> list[Tensor]:
    """The inputs to differentiate along with the weights if a custom function may hide weights.

    A re-entrant checkpoint or a reversible block whose weights are not among its arguments runs
    its own backward pass, but only if something before it is differentiated.
    """
    if not any(map(is_foreign, nodes)):
        return []
    return [tensor for tensor in tensors(fed.inputs) if tensor.requires_grad]


def precise(tensors: Any) -> Any:
    """Half-precision tensors as float32, so that sums are precise; others unchanged."""
    halves = (torch.float16, torch.bfloat16)
    return change_all(tensors, lambda t: t.float() if t.dtype in halves else t)


def tapped(watch: Watch, wanted: set[str]) -> Found:
    """`taylor` and `fan_in` of the tapped layers."""
    names = wanted & TAPPED
    if not names:
        return {}
    if why := watch.why_lost():
        return dict.fromkeys(names, Unavailable(why))
    taps = [tap for tap in watch.taps if tap.counts]
    found = {
        "taylor": {tap.name: tap.terms() for tap in taps},
        "fan_in": {tap.name: tap.fan_in for tap in taps},
    }
    return {name: value for name, value in found.items() if name in names}


def without_graph(outputs: Any) -> Any:
    """The outputs without their graph."""
    return change_all(outputs, lambda tensor: tensor.detach())
