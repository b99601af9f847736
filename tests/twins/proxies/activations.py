"""Twins of the proxies of what all samples together make of activation functions."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from tests.support.models import Case
from tests.twins.proxies.channels import ACTIVATIONS
from tests.twins.proxies.gradients import gradients
from tests.twins.proxies.outputs import Outputs
from tests.twins.proxies.running import Row, copy_of, run


class Bent(Outputs):
    """Records the outputs of activations alone."""

    def keep(self, module: nn.Module, _: Any, output: Any) -> None:
        """Leave out layers and normalisations."""


def intrain(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """Σ log (tr C)² / tr C² times 1 + Σ min(1, std / max), over log(L + 1)."""
    own = copy_of(model)
    with Bent(own, len(labels), set()) as noted:
        run(own, inputs)
    bent = [rows for rows, _ in noted.found]
    capacity = 0.0
    for rows in bent:
        values = np.linalg.eigvalsh(np.cov(rows.T, bias=True).reshape(rows.shape[1], -1)) + 1e-10
        capacity += math.log(values.sum() ** 2 / (values**2).sum())
    grads = [g.numpy() for g in gradients(case, copy_of(model), inputs, labels)]
    health = sum(min(1.0, float(g.std() / (np.abs(g).max() + 1e-8))) for g in grads)
    return capacity * (1 + health) / math.log(len(bent) + 1)


class Probes(TorchFunctionMode):
    """Adds zeros to what goes into each activation, which take its gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs: list[Tensor] = []
        self.zeros: list[Tensor] = []

    def __torch_function__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if getattr(func, "__name__", "") in ACTIVATIONS:
            self.inputs.append(args[0].detach().clone())
            self.zeros.append(torch.zeros_like(args[0], requires_grad=True))
            args = (args[0] + self.zeros[-1], *args[1:])
        return func(*args, **(kwargs or {}))


def similarity(x: Tensor, samples: int) -> Row:
    """|corr| of all pairs of samples."""
    return np.abs(np.corrcoef(x.reshape(samples, -1).numpy()))


def wrcor(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """log det Σ 2^l (|corr of inputs| + |corr of gradients|)."""
    with Probes() as probes:
        run(copy_of(model), inputs).sum().backward()
    k = np.zeros((len(labels), len(labels)))
    for place, (x, zeros) in enumerate(zip(probes.inputs, probes.zeros, strict=True), start=1):
        assert zeros.grad is not None
        k += 2**place * (similarity(x, len(labels)) + similarity(zeros.grad, len(labels)))
    return math.log(abs(np.linalg.det(k)))
