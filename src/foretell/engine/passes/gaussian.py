"""The pass with weights, inputs and a small perturbation of the inputs drawn from N(0, 1)."""

from contextlib import suppress

import torch
from torch import Generator, Tensor, nn

from foretell.batch import Batch, main_output, tensors
from foretell.engine.failures import ModelFailed
from foretell.engine.isolate import call
from foretell.engine.kaiming import double_or_float, normal_like, own_tensors
from foretell.engine.memory import smaller, within_memory
from foretell.engine.microbatch import check_exact, split
from foretell.engine.modules import named_parameters_of
from foretell.engine.observers.pooled_features import FeatureWatch
from foretell.engine.observers.samples import Samples
from foretell.engine.subject import Found, Seconds, Subject, Unavailable, timed
from foretell.engine.weights import Layers, roles
from foretell.seeds import derived_seed

__all__ = ["gaussian_model", "gaussian_pass", "pooled_features", "with_gradients"]

DISTURBANCE = 0.01
"""α of arXiv:2102.01063, Algorithm 1."""


def gaussian_pass(subject: Subject, wanted: set[str], seconds: Seconds) -> Found:
    """Compute `feature_change` and `norm_variances`.

    Raises OutOfMemory, with a micro-batch that fits, if memory does not suffice.
    """
    if not any(tensor.is_floating_point() for tensor in tensors(subject.batch.inputs)):
        why = Unavailable("the inputs are integers, which are not drawn from a normal distribution")
        return {"feature_change": why, "norm_variances": why}
    with timed(seconds, "gaussian", subject.device):
        return within_memory(
            lambda: gaussian_quantities(subject), lambda: smaller(subject, gaussian_quantities)
        )


def gaussian_quantities(subject: Subject) -> Found:
    """Both quantities, in float32 or, if that overflows, in float64."""
    if subject.micro_batch is not None and subject.micro_batch < len(subject.batch):
        check_exact(subject)
    first = double_or_float(subject.model)
    for dtype in dict.fromkeys((first, torch.float64)):
        generator = Generator().manual_seed(derived_seed(subject.seed, "gaussian"))
        found = gaussian_in(subject, generator, dtype)
        if found["feature_change"].isfinite():
            break
    return found


def gaussian_in(subject: Subject, generator: Generator, dtype: torch.dtype) -> Found:
    """Both quantities in one data type.

    Weights, inputs and perturbations are drawn in this order, all in float32 on the CPU.
    """
    drawn = gaussian_model(subject.model, subject.layers, generator, dtype)
    inputs = Batch(subject.batch.inputs).each_shared(lambda t: normal_like(t, generator, dtype))
    near = inputs.each_shared(lambda t: disturbed(t, generator))
    change = torch.zeros((), dtype=torch.float64, device=subject.device)
    variances: list[Tensor] = []
    parts = zip(split(inputs, subject.micro_batch), split(near, subject.micro_batch), strict=True)
    for index, (part, part_near) in enumerate(parts):
        features, variances = pooled_features(subject, drawn, part, index)
        moved, _ = pooled_features(subject, drawn, part_near, index)
        change += (features - moved).abs().sum(dtype=torch.float64)
    return {"feature_change": change / len(subject.batch), "norm_variances": variances}


def gaussian_model(
    model: nn.Module, layers: Layers, generator: Generator, dtype: torch.dtype
) -> dict[str, Tensor]:
    """The model's tensors, with weights from N(0, 1), scales 1, shifts 0, and others unchanged."""
    drawn = own_tensors(model, dtype)
    for name, role in roles(model, layers).items():
        if role == "weight":
            drawn[name] = normal_like(drawn[name], generator, dtype)
        elif role != "other":
            drawn[name] = torch.full_like(drawn[name], 1.0 if role == "scale" else 0.0)
    return drawn


def with_gradients(model: nn.Module, drawn: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copies of a model's tensors that require gradients where the model's own tensors do."""
    held = {name: tensor.clone() for name, tensor in drawn.items()}
    for name, parameter in named_parameters_of(model):
        held[name].requires_grad_(parameter.requires_grad)
    return held


def disturbed(tensor: Tensor, generator: Generator) -> Tensor:
    """The tensor plus 0.01 times noise from N(0, 1)."""
    if not tensor.is_floating_point():
        return tensor
    return tensor + DISTURBANCE * normal_like(tensor, generator, tensor.dtype)


def pooled_features(
    subject: Subject, drawn: dict[str, Tensor], part: Batch, index: int
) -> tuple[Tensor, list[Tensor]]:
    """The last features before they are pooled, and the variances that BatchNorm used.

    Dropout draws the same masks for the same index, so it is not part of the perturbation. A model
    that computes gradients in its forward pass, such as a force field, is run with gradients
    enabled, and so is one that may compute something unobserved, which the graph shows.
    """
    with suppress(ModelFailed), torch.no_grad():
        features, variances, unsure = features_now(subject, drawn, part, index)
        if not unsure:
            return features, variances
    with torch.enable_grad():
        features, variances, _ = features_now(subject, drawn, part, index)
    return features.detach(), [variance.detach() for variance in variances]


def features_now(
    subject: Subject, drawn: dict[str, Tensor], part: Batch, index: int
) -> tuple[Tensor, list[Tensor], bool]:
    """The same, with or without gradients, and whether something may have been unobserved."""
    held = with_gradients(subject.model, drawn)
    own = {id(tensor) for tensor in held.values()}
    samples = Samples(part, lambda: subject.held() | own)
    watch = FeatureWatch(samples)
    with subject.undisturbed("gaussian", index), samples, watch:
        output = main_output(call(subject.model, held, part.each(torch.clone)))
    return watch.output(output), watch.variances, watch.is_unsure
