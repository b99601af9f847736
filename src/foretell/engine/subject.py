"""The subject of scoring: a model, a batch, and all settings that affect quantities."""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge

from foretell.batch import Batch, tensors
from foretell.engine.caller import kept_settings
from foretell.engine.failures import LossFailed, any_error, complaint_of, is_out_of_memory
from foretell.engine.isolate import REENTRANT, BatchNorm, mode, sets_more_than_its_mode
from foretell.engine.modules import modules_of
from foretell.engine.state import State
from foretell.engine.weights import Layers, counted_weights
from foretell.engine.wrappers import as_written
from foretell.errors import ForetellError, Undefined, message_of
from foretell.losses import Loss, loss_name
from foretell.seeds import derived_seed, own_randomness

__all__ = [
    *("NO_WEIGHTS", "Found", "Seconds", "Subject", "Unavailable"),
    *("edge_gradients", "gradient", "is_finite", "timed"),
]

Found = dict[str, Any]
"""Quantities by name; `Unavailable` for one that is undefined."""

Seconds = dict[str, float]
"""Wall-clock seconds by step."""


@dataclass(frozen=True)
class Unavailable:
    """Replaces a quantity that is undefined for this model and batch, and has the reason."""

    why: str


NO_WEIGHTS = Unavailable("the model has no trainable weights that count")


@dataclass(frozen=True, eq=False)
class Subject:
    """A model and a batch on the same device, and the settings of scoring."""

    model: nn.Module
    batch: Batch
    loss: Loss
    seed: int
    layers: Layers
    batch_norm: BatchNorm
    micro_batch: int | None
    tf32: bool = False
    faster: bool = True
    """Whether to use optimisations that give the same values up to rounding."""
    verify: bool = False
    """Whether the curvature is checked against differences of the gradient."""
    state: State | None = None
    """The state of the model before it was first run; a subject made from another one shares it."""
    checks: set[str] = field(default_factory=set, init=False)
    """The checks that it has passed, which are not repeated in each pass."""

    def __post_init__(self) -> None:
        if self.state is None:
            object.__setattr__(self, "state", State(self.model))

    @property
    def device(self) -> torch.device:
        """The device of the batch, on which everything is computed."""
        return tensors(self.batch.inputs)[0].device

    @cached_property
    def weights(self) -> dict[str, Tensor]:
        """The parameters that count as weights; the model's own `train` may freeze some."""
        if self.batch_norm == "batch" and not sets_more_than_its_mode(modules_of(self.model)):
            return counted_weights(self.model, self.layers)
        with own_randomness(self.seed, self.device), self._in_mode(training=True):
            return counted_weights(self.model, self.layers)

    def held(self) -> set[int]:
        """The ids of all tensors that the model held before its run, and of its current buffers."""
        assert self.state is not None
        buffers = (b for module in modules_of(self.model) for b in module._buffers.values())
        return self.state.tensors() | {id(buffer) for buffer in buffers}

    def loss_of(self, outputs: Any, targets: Any) -> Tensor:
        """The loss, a scalar. Raises LossFailed if it is not a scalar or cannot be computed."""
        try:
            loss = self.loss(outputs, targets)
        except (ForetellError, Undefined) as error:
            raise LossFailed(str(error), str(error)) from error
        except any_error() as error:
            if is_out_of_memory(error):
                raise
            why = f"the loss {loss_name(self.loss)} cannot be computed ({complaint_of(error)})"
            raise LossFailed(
                f"{why}; check it against the outputs "
                f"({described(outputs)}) and the targets ({described(targets)})",
                why,
            ) from error
        if isinstance(loss, Tensor) and loss.numel() == 1 and not loss.is_complex():
            return loss.reshape(())
        step = "return a tensor"
        if isinstance(loss, Tensor):
            step = "reduce it by its mean" if loss.numel() != 1 else "return a real number"
        why = f"the loss must be a scalar tensor, not {described(loss)}; {step}"
        raise LossFailed(why, why)

    @contextmanager
    def undisturbed(self, *parts: object, training: bool = True) -> Iterator[None]:
        """Within the block, the model is in the mode for scoring and has its own random stream.

        `parts` determine the random stream. Afterwards, the original state of the model is
        restored.
        """
        self.weights  # noqa: B018 - computed now, since this changes the mode of the model
        with (
            own_randomness(derived_seed(self.seed, *parts), self.device),
            kept_settings(),
            self._in_mode(training=training),
        ):
            yield

    @contextmanager
    def _in_mode(self, *, training: bool) -> Iterator[None]:
        assert self.state is not None
        with (
            self.state.kept(),
            as_written(self.model),
            mode(self.model, training=training, batch_norm=self.batch_norm),
        ):
            yield


def described(value: Any) -> str:
    """A description for a message: the type and shape of a tensor, the type of anything else."""
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} of shape {list(value.shape)}"
    return type(value).__name__


@contextmanager
def timed(seconds: Seconds, step: str, device: torch.device) -> Iterator[None]:
    """Add the wall-clock time of the block to the seconds of a step."""
    start = time.perf_counter()
    yield
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    seconds[step] = seconds.get(step, 0.0) + time.perf_counter() - start


def gradient(
    value: Tensor,
    weights: dict[str, Tensor],
    also: Sequence[Tensor] = (),
    *,
    keep_graph: bool = False,
    create_graph: bool = False,
) -> dict[str, Tensor]:
    """∂value/∂w for every weight; zeros if the value does not depend on the weight.

    The value is differentiated with respect to `also`, too, without a result. Raises Undefined if
    torch cannot differentiate the model, or if the model's own backward pass raises anything.
    """
    keep_graph = keep_graph or create_graph
    grads = differentiated(value, [*weights.values(), *also], keep_graph, create_graph)
    return dict(zip(weights, grads, strict=False))


def is_finite(tensor: Tensor) -> bool:
    """Whether all values are finite. So they are if their sum is, which is found much faster.

    >>> is_finite(torch.tensor([3e38, 3e38])), is_finite(torch.tensor([1.0, torch.nan]))
    (True, False)
    """
    return math.isfinite(tensor.detach().sum()) or bool(tensor.isfinite().all())


def edge_gradients(
    value: Tensor, edges: list[GradientEdge], keep_graph: bool
) -> tuple[Tensor | None, ...]:
    """The gradient at each edge of the graph, None if there is none. Raises Undefined."""
    with differentiable():
        return torch.autograd.grad(value, edges, retain_graph=keep_graph, allow_unused=True)


def differentiated(
    value: Tensor | list[Tensor] | list[GradientEdge],
    sources: list[Tensor],
    keep_graph: bool = False,
    create_graph: bool = False,
    grads: list[Tensor] | None = None,
) -> tuple[Tensor, ...]:
    """The dense result of `torch.autograd.grad`, with zeros. Raises Undefined if it fails."""
    found = differentiated_if_used(value, sources, keep_graph, create_graph, grads)
    return tuple(
        torch.zeros_like(source, requires_grad=create_graph) if grad is None else grad
        for source, grad in zip(sources, found, strict=True)
    )


def differentiated_if_used(
    value: Tensor | list[Tensor] | list[GradientEdge],
    sources: list[Tensor],
    keep_graph: bool = False,
    create_graph: bool = False,
    grads: list[Tensor] | None = None,
) -> tuple[Tensor | None, ...]:
    """The same as `differentiated`, with None for a source that `value` does not depend on.

    If the model itself runs a backward pass within this one, that pass adds to the `grad` of its
    leaves, as it does in training. This is part of the gradient; the previous `grad` is unchanged.
    """
    with differentiable():
        with ExitStack() as back:
            for leaf in sources:
                if leaf.is_leaf:
                    back.callback(setattr, leaf, "grad", leaf.grad)
                    leaf.grad = None
            found = torch.autograd.grad(
                value,
                sources,
                grads,
                retain_graph=keep_graph,
                create_graph=create_graph,
                allow_unused=True,
            )
            added = [leaf.grad if leaf.is_leaf else None for leaf in sources]
        if create_graph and any(grad is not None for grad in added):
            raise Undefined(
                "the model runs a backward pass within its backward pass, which cannot be "
                "differentiated"
            )
        found = tuple(
            own if grad is None else grad if own is None else grad + own
            for grad, own in zip(found, added, strict=True)
        )
        return tuple(g.to_dense() if g is not None and g.is_sparse else g for g in found)


@contextmanager
def differentiable() -> Iterator[None]:
    """Within the block, a backward pass that fails raises Undefined, with the reason."""
    try:
        yield
    except (ForetellError, Undefined):
        raise
    except any_error() as error:
        if is_out_of_memory(error):
            raise
        if "use_reentrant" in message_of(error):
            raise ForetellError(REENTRANT) from error
        if not isinstance(error, RuntimeError):
            raise Undefined(f"the backward pass raised {complaint_of(error)}") from error
        first = complaint_of(error).partition(": ")[2].partition(". ")[0]
        raise Undefined(f"torch cannot differentiate this model: {first}") from error
