"""What is scored: a model, a batch, and every choice that changes a quantity's value."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from foretell.batch import Batch, tensors
from foretell.engine.isolate import BatchNorm, derived_seed, mode, own_attributes, own_randomness
from foretell.engine.weights import Layers, counted_weights
from foretell.losses import Loss

__all__ = ["NO_WEIGHTS", "Found", "Seconds", "Subject", "Unavailable", "gradient", "timed"]

Found = dict[str, Any]
"""Quantities by name; an `Unavailable` stands for one that does not exist."""

Seconds = dict[str, float]
"""Wall-clock seconds by step."""


@dataclass(frozen=True)
class Unavailable:
    """In place of a quantity that does not exist for this model and batch: the reason."""

    why: str


NO_WEIGHTS = Unavailable("the model has no trainable weights that count")


@dataclass(frozen=True, eq=False)
class Subject:
    """A model and a batch on one device, and how they are to be run."""

    model: nn.Module
    batch: Batch
    loss: Loss
    seed: int
    layers: Layers
    batch_norm: BatchNorm
    micro_batch: int | None

    @property
    def device(self) -> torch.device:
        """Where the batch, and so the computing, is."""
        return tensors(self.batch.inputs)[0].device

    @property
    def weights(self) -> dict[str, Tensor]:
        """The parameters that count as weights."""
        return counted_weights(self.model, self.layers)

    @contextmanager
    def undisturbed(self, *parts: object, training: bool = True) -> Iterator[None]:
        """The model in the mode to be scored in, with a random stream that is the parts' own."""
        with (
            own_attributes(self.model),
            mode(self.model, training=training, batch_norm=self.batch_norm),
            own_randomness(derived_seed(self.seed, *parts), self.device),
        ):
            yield


@contextmanager
def timed(seconds: Seconds, step: str, device: torch.device) -> Iterator[None]:
    """Add the wall-clock time of the block to a step's account."""
    start = time.perf_counter()
    yield
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    seconds[step] = seconds.get(step, 0.0) + time.perf_counter() - start


def gradient(
    value: Tensor,
    weights: dict[str, Tensor],
    *,
    keep_graph: bool = False,
    create_graph: bool = False,
) -> dict[str, Tensor]:
    """∂value/∂w for every weight, zeros where it does not depend on one."""
    grads = torch.autograd.grad(
        value,
        list(weights.values()),
        retain_graph=keep_graph or create_graph,
        create_graph=create_graph,
        allow_unused=True,
        materialize_grads=True,
    )
    return dict(zip(weights, grads, strict=True))
