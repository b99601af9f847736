"""Runs a copy of a model in plain PyTorch, with the same random numbers as the engine."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from copy import deepcopy
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from foretell.seeds import derived_seed
from tests.support.models import Case, feed

Twin = Callable[[Case, nn.Module, Any, Tensor], float]


Row = np.ndarray[Any, np.dtype[np.float64]]


DRAWS = {"loss": (0, "loss", 0), "reference_flow": (0, "reference_flow")}
"""What the draws of dropout are derived from, as documented: seed 0, the pass, the micro-batch."""


NORMS = (
    nn.modules.batchnorm._NormBase,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
    nn.LocalResponseNorm,
)


DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)


def logits_of(outputs: Any) -> Tensor:
    """The main output: the output itself, the first of a tuple, or `logits` of a dict."""
    if isinstance(outputs, dict):
        outputs = outputs["logits"]
    if isinstance(outputs, tuple):
        outputs = outputs[0]
    assert isinstance(outputs, Tensor)
    return outputs


def weights_of(case: Case, model: nn.Module) -> list[nn.Parameter]:
    """The parameters that count as weights according to the case."""
    return [model.get_parameter(name) for name in case.weights]


def run(model: nn.Module, inputs: Any, draws: str = "loss") -> Tensor:
    """The logits, with the random numbers that the pass of the engine would draw."""
    with torch.random.fork_rng(devices=[]), sdpa_kernel(SDPBackend.MATH):
        torch.manual_seed(derived_seed(*DRAWS[draws]))
        return logits_of(feed(model, inputs))


def copy_of(model: nn.Module) -> nn.Module:
    """A copy in training mode."""
    return deepcopy(model).train()


def gradients(case: Case, model: nn.Module, inputs: Any, labels: Tensor) -> list[Tensor]:
    """∂L/∂W by backward(), or zeros if there is none."""
    F.cross_entropy(run(model, inputs), labels).backward()
    return [torch.zeros_like(w) if w.grad is None else w.grad for w in weights_of(case, model)]


SWITCHES = ("relu", "relu_", "relu6", "hardtanh", "leaky_relu", "prelu", "elu", "gelu", "silu")
SWITCHES += ("softplus", "hardswish", "hardsigmoid")


POOLINGS = ("adaptive_avg_pool2d", "mean")


class Notes(TorchFunctionMode):
    """Records copies of the first arguments of all functions, by the name of the function."""

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
    """The logits, and the arguments of all functions that were called."""
    notes = Notes()
    with torch.random.fork_rng(devices=[]), sdpa_kernel(SDPBackend.MATH), notes:
        torch.manual_seed(seed)
        return logits_of(feed(model, inputs)), notes
