"""Twins of the proxies that correlate the channels of each sample."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from foretell.seeds import derived_seed
from tests.support.models import Case
from tests.twins.proxies.layer_outputs import LAYERS, layer_outputs, per_sample, tapped
from tests.twins.proxies.running import NORMS, SWITCHES, Row, copy_of, run

ACTIVATIONS = (*SWITCHES, "sigmoid", "tanh")


class Inputs(TorchFunctionMode):
    """Records the inputs of activations, each sample as [positions, channels].

    The channels lie where the layer or normalisation that ran last has them.
    """

    def __init__(self, model: nn.Module, samples: int) -> None:
        super().__init__()
        self.seen: list[list[Row]] = []
        self.samples, self.second = samples, True
        for module in model.modules():
            if isinstance(module, (*LAYERS, *NORMS)):
                module.register_forward_hook(self.passed)

    def passed(self, module: nn.Module, *_: Any) -> None:
        """Note where this layer has its channels."""
        last = (nn.Linear, nn.Bilinear, nn.Embedding, nn.RNNBase, nn.MultiheadAttention)
        self.second = not isinstance(module, (*last, nn.LayerNorm))

    def __torch_function__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if getattr(func, "__name__", "") in ACTIVATIONS:
            x = args[0].detach().transpose(1, -1) if self.second else args[0].detach()
            self.seen.append([rows.reshape(-1, x.shape[-1]).numpy().copy() for rows in x])
        return func(*args, **(kwargs or {}))


def activation_inputs(case: Case, model: nn.Module, inputs: Any, samples: int) -> list[list[Row]]:
    """For each activation, each sample as [positions, channels]."""
    model = copy_of(model)
    if case.modular:
        model = case.modular(model)
    with Inputs(model, samples) as noted:
        run(model, inputs)
    return noted.seen


def minimum(x: Row) -> float:
    """The smallest eigenvalue of the correlations between the columns; 0 if they are singular."""
    if len(x) <= x.shape[1] or (np.ptp(x, axis=0) < 1e-12).any():
        return 0.0
    if np.linalg.matrix_rank(x - x.mean(0), tol=1e-9) < x.shape[1]:
        return 0.0
    return float(np.linalg.eigvalsh(np.corrcoef(x, rowvar=False).reshape(x.shape[1], -1))[0])


def rmin(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """Σ over activations of the mean over samples of the smallest eigenvalue."""
    layers = activation_inputs(case, model, inputs, len(labels))
    if all(len(rows[0]) <= rows[0].shape[1] for rows in layers):
        return math.nan
    return sum(float(np.mean([minimum(x) for x in rows])) for rows in layers)


def drawn_minima(layers: list[list[Row]], kind: str) -> float:
    """Σ over layers of the mean over samples and draws for 8 channels."""
    if all(len(rows[0]) <= min(8, rows[0].shape[1]) for rows in layers):
        return math.nan
    total = 0.0
    for place, rows in enumerate(layers):
        generator = torch.Generator().manual_seed(derived_seed(0, kind, place))
        for _ in range(4):
            drawn = torch.randperm(rows[0].shape[1], generator=generator)[:8].numpy()
            total += float(np.mean([minimum(x[:, drawn]) for x in rows])) / 4
    return total


def rd8(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """Eight channels at a time, at the inputs of activations."""
    return drawn_minima(activation_inputs(case, model, inputs, len(labels)), "activation")


def d8(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """Eight channels at a time, at the outputs of layers."""
    seen = layer_outputs(case, copy_of(model), inputs, labels)
    layers = [
        [rows.numpy() for rows in per_sample(module, output, len(labels))]
        for module, output, _ in seen
        if tapped(module, output, len(labels))
    ]
    return drawn_minima(layers, "layer")


def module_outputs(model: nn.Module, inputs: Any, samples: int) -> list[Row]:
    """The output of each module for the first sample, as [positions, channels]."""
    model = copy_of(model)
    noted, seen = Inputs(model, samples), []

    def keep(_: nn.Module, __: Any, output: Any) -> None:
        x = output
        while isinstance(x, tuple | dict):
            x = next(iter(x.values() if isinstance(x, dict) else x))
        if x.ndim == 3 and len(x) != samples:  # steps first
            x = x.transpose(0, 1)
        rows = x[: len(x) // samples].detach()
        rows = rows.transpose(1, -1) if noted.second else rows
        seen.append(rows.reshape(-1, rows.shape[-1]).numpy().copy())

    for module in model.modules():
        module.register_forward_hook(keep)
    run(model, inputs)
    return seen


def meco(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """Σ over modules of the smallest eigenvalue for the first sample."""
    outputs = module_outputs(model, inputs, len(labels))
    if all(len(x) <= x.shape[1] for x in outputs):
        return math.nan
    return sum(minimum(x) for x in outputs)


def meco_opt(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """The same for eight channels at random, times a c-th of eight."""
    outputs = module_outputs(model, inputs, len(labels))
    if all(len(x) <= min(8, x.shape[1]) for x in outputs):
        return math.nan
    total = 0.0
    for place, x in enumerate(outputs):
        generator = torch.Generator().manual_seed(derived_seed(0, "module", place))
        drawn = torch.randperm(x.shape[1], generator=generator)[:8].numpy()
        total += x.shape[1] / len(drawn) * minimum(x[:, drawn])
    return total
