"""The pass that differentiates each output of each sample by one entry of each parameter."""

from functools import partial
from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from foretell.batch import main_output
from foretell.engine.faster.onednn import SafeConvolutions
from foretell.engine.isolate import call
from foretell.engine.kaiming import double_or_float, kaiming_model
from foretell.engine.memory import smaller, within_memory
from foretell.engine.modules import named_parameters_of
from foretell.engine.subject import Found, Seconds, Subject, differentiated, timed
from foretell.errors import Undefined
from foretell.seeds import derived_seed

__all__ = ["outputs_by_weights_pass"]

PARAMETERS = 128
"""The number of parameter tensors that the code of arXiv:2502.04975 uses."""


def outputs_by_weights_pass(subject: Subject, wanted: set[str], seconds: Seconds) -> Found:
    """Compute `class_scores` and `class_score_grads`, one sample at a time for any `micro_batch`.

    Raises OutOfMemory if memory does not suffice for a single sample.
    """
    with timed(seconds, "outputs_by_weights", subject.device):
        return within_memory(lambda: by_samples(subject), lambda: smaller(subject, by_samples))


def by_samples(subject: Subject) -> Found:
    """Both quantities of all samples, in evaluation mode, so that no sample depends on another."""
    generator = Generator().manual_seed(derived_seed(subject.seed, "outputs_by_weights"))
    dtype = double_or_float(subject.model)
    drawn = kaiming_model(subject.model, subject.layers, generator, dtype)
    batch = subject.batch.each(lambda t: t.to(dtype) if t.is_floating_point() else t)
    own = [name for name, p in named_parameters_of(subject.model) if p.is_floating_point()]
    if not own:
        raise Undefined("the model has no parameters")
    scores, grads = [], []
    for index in range(len(batch)):
        held = {name: tensor.clone() for name, tensor in drawn.items()}
        sources = [held[name].requires_grad_() for name in own][:PARAMETERS]
        with (
            subject.undisturbed("outputs_by_weights", index, training=False),
            sdpa_kernel(SDPBackend.MATH),
            torch.enable_grad(),
            SafeConvolutions(),
        ):
            fed = batch[index : index + 1].each(torch.clone)
            its_scores, its_grads = call(
                subject.model, held, fed, partial(scores_and_grads, sources=sources)
            )
            scores.append(its_scores)
            grads.append(its_grads)
    return {"class_scores": torch.stack(scores), "class_score_grads": torch.stack(grads)}


def scores_and_grads(outputs: Any, sources: list[Tensor]) -> tuple[Tensor, Tensor]:
    """The scores of one sample, and their derivatives."""
    output = main_output(outputs)
    if output.ndim != 2 or len(output) != 1:
        raise Undefined(
            f"the main output of one sample has shape {list(output.shape)}; expected a "
            "score for each class, [1, classes]"
        )
    return output[0].detach(), by_first_entries(output[0], sources)


def by_first_entries(scores: Tensor, sources: list[Tensor]) -> Tensor:
    """The derivatives of the scores by each parameter's first entry, `[scores, parameters]`."""
    if not scores.requires_grad:
        return scores.new_zeros(len(scores), len(sources))
    rows = []
    for place, score in enumerate(scores):
        grads = differentiated(score, sources, keep_graph=place + 1 < len(scores))
        rows.append(torch.stack([grad.flatten()[0] for grad in grads]))
    return torch.stack(rows)
