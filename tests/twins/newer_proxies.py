"""Twins of the proxies that came after the paper; `reference.TWINS` has the others.

What an activation is given and what a pooling is given is noted by a mode that looks at names of
functions; all the rest is loops.
"""

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from foretell.seeds import derived_seed
from tests.support.models import Case, feed
from tests.twins.proxies import (
    NORMS,
    Twin,
    copy_of,
    correlation,
    gradient_rows,
    logits_of,
    weights_of,
)

SWITCHES = ("relu", "relu_", "relu6", "hardtanh", "leaky_relu", "prelu", "elu", "gelu", "silu")
SWITCHES += ("softplus", "hardswish", "hardsigmoid")
POOLINGS = ("adaptive_avg_pool2d", "mean")


class Notes(TorchFunctionMode):
    """Copies of the first arguments of all functions, by the function's name."""

    def __init__(self) -> None:
        super().__init__()
        self.given: dict[str, list[Tensor]] = defaultdict(list)
        self.last_pooled: Tensor | None = None

    def __torch_function__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        if args and isinstance(args[0], Tensor):
            self.given[name].append(args[0].detach().clone())
            if name in POOLINGS:
                self.last_pooled = self.given[name][-1]
        return func(*args, **(kwargs or {}))


def noted(model: nn.Module, inputs: Any, seed: int) -> tuple[Tensor, Notes]:
    """The logits, and what the functions were given on the way."""
    notes = Notes()
    with torch.random.fork_rng(devices=[]), sdpa_kernel(SDPBackend.MATH), notes:
        torch.manual_seed(seed)
        return logits_of(feed(model, inputs)), notes


def nwot(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """log |det K|, K_ij counting the units whose inputs are both positive or both not."""
    _, notes = noted(copy_of(model), inputs, derived_seed(0, "loss", 0))
    n = len(labels)
    k = np.zeros((n, n))
    for name in SWITCHES:
        for x in notes.given[name]:
            codes = (x.reshape(n, -1) > 0).numpy()
            for i in range(n):
                for j in range(n):
                    k[i, j] += int((codes[i] == codes[j]).sum())
    if np.linalg.matrix_rank(k) < n:
        return math.nan
    return float(np.log(np.prod(np.linalg.eigvalsh(k))))


def epe_nas(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """Σ_classes |Σ_ij log(|r_ij| + 1e-5)|, for few classes."""
    if case.tokens:
        return math.nan
    rows = gradient_rows(model, inputs)
    total = 0.0
    for label in set(labels.tolist()):
        own = [row for row, its in zip(rows, labels.tolist(), strict=True) if its == label]
        if len(own) > 1:
            pairs = [abs(correlation(one, other)) for one in own for other in own]
            total += abs(sum(math.log(r + 1e-5) for r in pairs))
    return total


def zico(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """Σ_l log Σ_w mean|g| / std(g) over the gradients of the two halves of the batch."""
    middle = len(labels) // 2
    halves = []
    for index, part in enumerate((slice(0, middle), slice(middle, None))):
        own = copy_of(model)
        some = {k: x[part] for k, x in inputs.items()} if isinstance(inputs, dict) else inputs[part]
        logits, _ = noted(own, some, derived_seed(derived_seed(0, "half", index), "loss", 0))
        F.cross_entropy(logits, labels[part]).backward()
        halves.append([w.grad for w in weights_of(case, own)])
    total = 0.0
    for one, other in zip(*halves, strict=True):
        ratios = 0.0
        if one is not None and other is not None:
            for a, b in zip(one.flatten().tolist(), other.flatten().tolist(), strict=True):
                if a != b:
                    ratios += ((abs(a) + abs(b)) / 2) / (abs(a - b) / 2)
        if ratios:
            total += math.log(ratios)
    return total


def zen(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """log E‖f(x) − f(x + 0.01ε)‖₁ + Σ_BatchNorm log √(mean variance), all of it Gaussian."""
    if case.tokens:
        return math.nan
    model = copy_of(model)
    generator = torch.Generator().manual_seed(derived_seed(0, "gaussian"))
    draw_weights(case, model, generator)
    given = inputs if isinstance(inputs, dict) else {"": inputs}
    x = {k: torch.randn(v.shape, generator=generator).to(v.dtype) for k, v in given.items()}
    near = {
        k: v + 0.01 * torch.randn(v.shape, generator=generator).to(v.dtype) for k, v in x.items()
    }
    seed = derived_seed(0, "gaussian", 0)
    found = []
    for batch in (x, near):
        logits, notes = noted(model, batch if isinstance(inputs, dict) else batch[""], seed)
        found.append((logits.detach() if notes.last_pooled is None else notes.last_pooled, notes))
    change = float((found[0][0] - found[1][0]).abs().sum()) / len(labels)
    total = math.log(change)
    for before in found[0][1].given["batch_norm"]:
        channels = before.transpose(0, 1).flatten(1).numpy()
        total += math.log(np.mean([np.var(channel) for channel in channels])) / 2
    return total


def draw_weights(case: Case, model: nn.Module, generator: torch.Generator) -> None:
    """Weights from N(0, 1), scales of normalisations 1, all biases 0."""
    weights = {id(model.get_parameter(name)) for name in (*case.weights, *case.frozen)}
    seen: set[int] = set()
    with torch.no_grad():
        for module in model.modules():
            for name, parameter in module.named_parameters(recurse=False):
                if id(parameter) in weights - seen:
                    parameter.copy_(torch.randn(parameter.shape, generator=generator))
                elif "bias" in name:
                    parameter.zero_()
                elif isinstance(module, NORMS):
                    parameter.fill_(1)
                seen.add(id(parameter))


NEWER: dict[str, Twin] = {"nwot": nwot, "epe_nas": epe_nas, "zico": zico, "zen": zen}
