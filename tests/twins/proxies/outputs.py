"""The twin of the proxy of the outputs of all layers, normalisations and activations."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from foretell.seeds import derived_seed
from tests.support.models import Case
from tests.twins.proxies.channels import ACTIVATIONS, Inputs
from tests.twins.proxies.layer_outputs import LAYERS, per_sample, tapped
from tests.twins.proxies.running import NORMS, Row, copy_of, run, weights_of


class Outputs(Inputs):
    """Records outputs in the order of their computation: rows of channels, and the last axis."""

    def __init__(self, model: nn.Module, samples: int, counted: set[int]) -> None:
        super().__init__(model, samples)
        self.found: list[tuple[Row, int]] = []
        for module in model.modules():
            own = {id(parameter) for parameter in module.parameters(recurse=False)}
            if isinstance(module, NORMS) or (isinstance(module, LAYERS) and own & counted):
                module.register_forward_hook(self.keep)

    def keep(self, module: nn.Module, _: Any, output: Any) -> None:
        """Note the output of a layer or normalisation."""
        first: Tensor = output[0] if isinstance(output, tuple) else output
        if not tapped(module, first, self.samples):
            return
        if isinstance(module, LAYERS):
            if isinstance(module, nn.Linear) and first.ndim == 4:
                self.found.append(of_last(first.detach()))
                return
            rows = torch.cat(list(per_sample(module, first.detach(), self.samples)))
        else:
            if first.ndim == 4 and isinstance(module, nn.LayerNorm):
                self.found.append(of_last(first.detach()))
                return
            rows = self.rows(first)
        self.found.append((rows.numpy().copy(), column(first, rows)))

    def rows(self, x: Tensor) -> Tensor:
        """A tensor as [samples · positions, channels]."""
        moved = x.detach().transpose(1, -1) if self.second else x.detach()
        return moved.reshape(-1, moved.shape[-1])

    def __torch_function__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if getattr(func, "__name__", "") in ACTIVATIONS:
            if out.ndim == 4 and not self.second:
                self.found.append(of_last(out.detach()))
                return out
            rows = self.rows(out)
            self.found.append((rows.numpy().copy(), column(out, rows)))
        return out


def of_last(x: Tensor) -> tuple[Row, int]:
    """The rows of a map whose channels are last, column by column, and the length of a row."""
    return x.transpose(1, 2).reshape(-1, x.shape[-1]).numpy().copy(), x.shape[2]


def column(x: Tensor, rows: Tensor) -> int:
    """The number of rows from one that may be the first to the next."""
    return x.shape[-1] if x.ndim > 3 else rows.shape[1]


def near(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """Σ exp(entropy of the singular values) of as many rows as there are channels."""
    model = copy_of(model)
    counted = {id(weight) for weight in weights_of(case, model)}
    if case.modular:
        model = case.modular(model)
        counted |= {id(p) for name, p in model.named_parameters() if name.endswith("weight")}
    with Outputs(model, len(labels), counted) as noted:
        run(model, inputs)
    total = 0.0
    for place, (rows, column) in enumerate(noted.found):
        count, channels = rows.shape
        if count < channels:
            return math.nan
        generator = torch.Generator().manual_seed(derived_seed(0, "rows", place))
        starts = [k * column for k in range(count) if k * column + channels <= count]
        start = starts[int(torch.randint(len(starts), (1,), generator=generator))]
        values = np.linalg.svd(rows[start : start + channels], compute_uv=False)
        shares = [float(v / values.sum()) for v in values if v > 0]
        total += math.exp(-sum(p * math.log(p) for p in shares)) if shares else 0.0
    return total
