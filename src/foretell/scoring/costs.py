"""Measure the cost of a network: its parameters, its FLOPs, or the time of a forward pass."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch
from torch import nn

from foretell.batch import Batch
from foretell.errors import ForetellError, unknown_name
from foretell.scoring.score import score

__all__ = ["COSTS", "Cost", "require_cost"]

REPEATS = 11


@dataclass(frozen=True)
class Cost:
    """A function that measures a cost, and its unit. Lower is better."""

    measure: Callable[[nn.Module, Batch], float]
    unit: str


def params(model: nn.Module, batch: Batch) -> float:
    """The number of trainable parameters."""
    return counted("params", model, batch)


def flops(model: nn.Module, batch: Batch) -> float:
    """The FLOPs of a forward pass of one sample."""
    return counted("flops", model, batch)


def counted(name: str, model: nn.Module, batch: Batch) -> float:
    """The value of a baseline, as by `foretell.score`. Raises ForetellError if it is undefined."""
    found = score(model, batch, [name])[name]
    if found.why is not None:
        raise ForetellError(f"{name} of {type(model).__name__} is undefined: {found.why}")
    return found.value


def latency(model: nn.Module, batch: Batch) -> float:
    """The median of eleven forward passes of one sample in evaluation mode, in milliseconds.

    The result depends on the machine and on what else it is doing.
    """
    one, device = batch[:1], batch.shared[0].device
    model.eval()
    times = []
    with torch.inference_mode():
        for _ in range(3 + REPEATS):
            finish(device)
            start = time.perf_counter()
            one.feed(model)
            finish(device)
            times.append(time.perf_counter() - start)
    return 1_000 * median(times[3:])


def finish(device: torch.device) -> None:
    """Wait until a GPU has finished the work that was queued; return at once on a CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


COSTS = {
    "params": Cost(params, "trainable parameters"),
    "flops": Cost(flops, "FLOPs of one sample's forward pass"),
    "latency": Cost(latency, "ms of one sample's forward pass, measured here"),
}


def require_cost(name: str) -> None:
    """Raise ForetellError unless `name` is a key of `COSTS` or has the form TABLE:COLUMN.

    >>> require_cost("nb201-hw:cifar10_edgegpu_latency")
    >>> require_cost("parms")
    Traceback (most recent call last):
    foretell.errors.UnknownName: no cost is called 'parms'; did you mean 'params'? (a column of a
    table is TABLE:COLUMN)
    """
    if name not in COSTS and not all(name.partition(":")):
        raise unknown_name("cost", name, COSTS, then=" (a column of a table is TABLE:COLUMN)")
