"""The pass that runs a few samples through the model with weights drawn from N(0, 1)."""

from collections.abc import Callable, Collection
from contextlib import nullcontext
from dataclasses import replace
from functools import partial

import torch
from torch import Generator, Tensor

from foretell.batch import Batch, main_output
from foretell.engine.isolate import call
from foretell.engine.kaiming import double_or_float
from foretell.engine.memory import smaller, within_memory
from foretell.engine.microbatch import check_exact, split
from foretell.engine.observers.activation_codes import Codes
from foretell.engine.observers.bends import Bends
from foretell.engine.observers.samples import Number, Samples
from foretell.engine.passes.gaussian import gaussian_model, with_gradients
from foretell.engine.passes.trial import Still, Tables, settle
from foretell.engine.subject import Found, Seconds, Subject, Unavailable, timed
from foretell.errors import Undefined
from foretell.seeds import derived_seed

__all__ = ["patterns_pass"]

SAMPLES = 16
"""The number of samples that arXiv:2403.04161 uses."""


def patterns_pass(subject: Subject, wanted: set[str], seconds: Seconds) -> Found:
    """Compute `activation_patterns`. Raises OutOfMemory, with a micro-batch that fits."""
    few = replace(subject, batch=subject.batch[:SAMPLES])
    with timed(seconds, "patterns", subject.device):
        return within_memory(lambda: patterns(few), lambda: smaller(few, patterns))


def patterns(subject: Subject) -> Found:
    """The quantity, in float32 or, if that overflows, in float64."""
    if subject.micro_batch is not None and subject.micro_batch < len(subject.batch):
        check_exact(subject)
    for dtype in dict.fromkeys((double_or_float(subject.model), torch.float64)):
        found = patterns_in(subject, dtype)
        if found is not None:
            return {"activation_patterns": found}
    raise Undefined("with Gaussian weights, the features exceed the range of floats")


def patterns_in(subject: Subject, dtype: torch.dtype) -> int | Unavailable | None:
    """The quantity in one data type; None if the outputs are not finite."""
    generator = Generator().manual_seed(derived_seed(subject.seed, "patterns"))
    drawn = gaussian_model(subject.model, subject.layers, generator, dtype)
    inputs = Batch(subject.batch.inputs)
    batch = inputs.each(lambda t: t.to(dtype) if t.is_floating_point() else t)
    codes = Codes(in_parts=True)
    tables: Tables = {}
    for index, part in enumerate(split(batch, subject.micro_batch)):
        watched = partial(run, subject, drawn, index)
        samples, output = watched(part, codes)
        if not output.isfinite().all():
            return None
        settle(samples, partial(on_trial, watched), part, tables)
        codes.settle()
    return codes.patterns()


def run(
    subject: Subject,
    drawn: dict[str, Tensor],
    index: int,
    part: Batch,
    codes: Codes,
    printing: Collection[Number] | None = None,
) -> tuple[Samples, Tensor]:
    """The observer of the samples of a part of the batch, and the output for them."""
    held = with_gradients(subject.model, drawn)
    own = {id(tensor) for tensor in held.values()}
    samples = Samples(part, lambda: subject.held() | own, printing)
    with (
        subject.undisturbed("patterns", index),
        torch.enable_grad(),  # to detect unobserved operations by the graph
        Still() if printing is not None else nullcontext(),
        samples,
        codes.of(samples),
        Bends(samples, [codes]),
    ):
        output = main_output(call(subject.model, held, part.each(torch.clone)))
    return samples, output


def on_trial(
    watched: Callable[..., tuple[Samples, Tensor]], part: Batch, printing: Collection[Number]
) -> Samples:
    """Run the model once more on other samples to find where they are in each tensor."""
    return watched(part, Codes(), printing)[0]
