"""The twin of zen."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from foretell.seeds import derived_seed
from tests.support.models import Case
from tests.twins.proxies.running import NORMS, copy_of, noted


def zen(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> float:
    """log E‖f(x) − f(x + 0.01ε)‖₁ + Σ_BatchNorm log √(mean variance), all numbers Gaussian."""
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


def draw_weights(
    case: Case, model: nn.Module, generator: torch.Generator, *, kaiming: bool = False
) -> None:
    """Weights from N(0, 1) or N(0, 2 / fan-in), scales of normalisations 1, all biases 0."""
    weights = {id(model.get_parameter(name)) for name in (*case.weights, *case.frozen)}
    seen: set[int] = set()
    with torch.no_grad():
        for module in model.modules():
            for name, parameter in module.named_parameters(recurse=False):
                drawn = id(parameter) in weights - seen
                if drawn and not (kaiming and isinstance(module, nn.Embedding)):
                    z = torch.randn(parameter.shape, generator=generator)
                    parameter.copy_(z)
                    parameter *= (2 / parameter[0].numel()) ** 0.5 if kaiming else 1
                elif "bias" in name:
                    parameter.zero_()
                elif isinstance(module, NORMS):
                    parameter.fill_(1)
                seen.add(id(parameter))
