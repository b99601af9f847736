"""Models that do unusual things that PyTorch permits, each with a suitable batch.

Each is a function or a class, with an entry in `ODD`. The laws in `tests/laws/test_odd.py` run on
all of them.
"""

import sys
import warnings
from array import array
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.support.models import OF_ATTENTION

CLASSES = 4
SAMPLES = 8


@dataclass(frozen=True)
class Odd:
    """An unusual model, and facts about it that do not come from the engine."""

    build: Callable[[], nn.Module]
    inputs: Callable[[], Any]
    weights: tuple[str, ...]
    """The names of the parameters that count as weights."""
    undefined: Mapping[str, str] = field(default_factory=dict)
    """The scores that are undefined for it, with a part of the reason."""
    double: bool = True
    """Whether it also runs in float64."""
    hooked: bool = True
    """Whether it runs with hooks on what it saves for the backward pass."""


def normal(*shape: int) -> Callable[[], Tensor]:
    """A function that draws inputs from N(0, 1) in float32, always the same."""
    return lambda: torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def tokens() -> Tensor:
    """Token numbers in a vocabulary of twenty."""
    return torch.randint(20, (SAMPLES, 7), generator=torch.Generator().manual_seed(1))


class OwnState(nn.Module):
    """A recurrent network that creates its initial state in float32."""

    def __init__(self) -> None:
        super().__init__()
        self.recurrent, self.classify = nn.LSTM(6, 5, batch_first=True), nn.Linear(5, CLASSES)

    def forward(self, x: Tensor) -> Any:
        """Logits of the last step."""
        state = torch.zeros(1, len(x), 5)
        return self.classify(self.recurrent(x, (state, state))[0][:, -1])


class OneGraph(nn.Module):
    """A graph network whose samples are the nodes of a single graph, which is part of the model."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(2)
        edges = (torch.rand(SAMPLES, SAMPLES, generator=generator) < 0.4) + torch.eye(SAMPLES)
        self.register_buffer("mix", edges / edges.sum(1, keepdim=True))
        self.first, self.second = nn.Linear(6, 40), nn.Linear(40, CLASSES)

    def forward(self, x: Tensor) -> Any:
        """Logits of the nodes."""
        return self.second(self.mix @ torch.relu(self.first(self.mix @ x)))


class SparseTable(nn.Module):
    """Embeddings with sparse gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.classify = nn.Embedding(20, 40, sparse=True), nn.Linear(40, CLASSES)

    def forward(self, x: Tensor) -> Any:
        """Logits of the mean token."""
        return self.classify(torch.relu(self.table(x)).mean(1))


class Equilibrium(nn.Module):
    """A deep equilibrium layer, whose backward pass computes gradients itself."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.inject = nn.Linear(6, 6), nn.Linear(6, 6)
        self.classify = nn.Linear(6, CLASSES)
        with torch.no_grad():
            self.inner.weight.mul_(0.3)

    def forward(self, x: Tensor) -> Any:
        """Logits of the fixed point."""

        def step(z: Tensor) -> Tensor:
            return torch.tanh(self.inner(z) + self.inject(x))

        z = torch.zeros_like(x)
        with torch.no_grad():
            for _ in range(40):
                z = step(z)
        z = step(z)
        if z.requires_grad:
            start = z.detach().requires_grad_()
            again = step(start)

            def solve(grad: Tensor) -> Tensor:
                found = grad
                for _ in range(40):
                    found = torch.autograd.grad(again, start, found, retain_graph=True)[0] + grad
                return found

            z.register_hook(solve)
        return self.classify(z)


class Raises(torch.autograd.Function):
    """The identity, with a backward pass that raises an error."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, error: BaseException) -> Tensor:
        """A copy."""
        ctx.error = error
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> tuple[Tensor, None]:
        """Raise."""
        raise ctx.error


class FailsGoingBack(nn.Module):
    """A network whose backward pass raises an error."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error
        self.enter, self.classify = nn.Linear(6, 40), nn.Linear(40, CLASSES)

    def forward(self, x: Tensor) -> Any:
        """Logits."""
        return self.classify(torch.relu(Raises.apply(self.enter(x), self.error)))


class NoGradient(torch.autograd.Function):
    """The identity, with None for a gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """A copy."""
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> None:
        """None."""


class StopsGradient(nn.Module):
    """A network that uses a layer twice, once without its gradient, and asks a number's shape."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.classify = nn.Linear(6, 40), nn.Linear(40, CLASSES)

    def forward(self, x: Tensor) -> Any:
        """Logits."""
        stopped = NoGradient.apply(self.enter(x))
        size = stopped.abs().mean()
        stopped = stopped / size.expand(size.shape)
        return self.classify(torch.relu(self.enter(x)) + torch.relu(stopped))


class StraightThrough(nn.Module):
    """Activations that are rounded, with the derivative of the ones before."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.classify = nn.Linear(6, 12), nn.Linear(12, CLASSES)

    def forward(self, x: Tensor) -> Any:
        """Logits."""
        x = torch.relu(self.enter(x))
        return self.classify(x + ((4 * x).round() / 4 - x).detach())


class ThroughNumPy(nn.Module):
    """Inputs are centred outside of torch, which cannot be done if they require gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.classify = nn.Linear(6, 12), nn.Linear(12, CLASSES)

    def forward(self, x: Tensor) -> Any:
        """Logits."""
        mean = torch.from_numpy(x.numpy().mean(1, keepdims=True))
        return self.classify(torch.relu(self.enter(x - mean)))


class InnerGradient(nn.Module):
    """A network that takes a step along the gradient of a loss of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.classify = nn.Linear(6, 40), nn.Linear(40, CLASSES)

    def forward(self, x: Tensor) -> Any:
        """Logits after the step."""
        weights = list(self.enter.parameters())
        inner = F.linear(x.flip(1), *weights).square().mean()
        steps = torch.autograd.grad(inner, weights, create_graph=True)
        weight, bias = (w - 0.1 * step for w, step in zip(weights, steps, strict=True))
        return self.classify(torch.relu(F.linear(x, weight, bias)))


class OfFunctions(nn.Module):
    """An ensemble by vmap, times the Laplacian of an energy by torch.func."""

    def __init__(self) -> None:
        super().__init__()
        self.members = nn.ModuleList(nn.Linear(6, 40) for _ in range(2))
        self.energy, self.classify = nn.Linear(6, 40), nn.Linear(40, CLASSES)

    def forward(self, x: Tensor) -> Any:
        """Logits."""
        weights = torch.stack([torch.relu(member.weight) for member in self.members])
        members = torch.func.vmap(lambda w: torch.tanh(F.linear(x, w)))(weights).mean(0)

        def laplacian(row: Tensor) -> Tensor:
            slope = torch.func.grad(lambda r: self.energy(r).tanh().sum())
            return torch.func.jacrev(slope)(row).trace()

        return self.classify(members) * torch.func.vmap(laplacian)(x)[:, None]


class NeedsAll(nn.Module):
    """A network that exits unless it gets the number of samples that it expects."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.classify = nn.Linear(6, 40), nn.Linear(40, CLASSES)

    def forward(self, x: Tensor) -> Any:
        """Logits."""
        if len(x) != SAMPLES:
            sys.exit(f"{len(x)} samples")
        return self.classify(torch.relu(self.enter(x)))


class Renormalised(nn.Module):
    """A network whose forward pass writes to its weights in several ways."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(20, 40, max_norm=1.0)
        self.mix, self.clipped = nn.Linear(40, 40), nn.Linear(40, 40)
        self.classify = nn.Linear(40, CLASSES)

    def forward(self, x: Tensor) -> Any:
        """Logits of the mean token."""
        self.mix.weight.data = torch.renorm(self.mix.weight.data, p=2, dim=0, maxnorm=0.5)
        self.clipped.weight.data.clamp_(-0.1, 0.1)
        with torch.no_grad():
            self.classify.weight.mul_(1 / self.classify.weight.norm())
        return self.classify(torch.relu(self.clipped(torch.relu(self.mix(self.table(x))))).mean(1))


@dataclass
class Notes:
    """A user-defined record."""

    steps: int = 0
    seen: list[int] = field(default_factory=list)


class Slots:
    """An object without a `__dict__`."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class Remembers(nn.Module):
    """A network that at every step writes to everything that it holds."""

    calls = 0
    everywhere: ClassVar[list[int]] = []

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.classify = nn.Linear(6, 40), nn.Linear(40, CLASSES)
        self.memory: deque[Tensor] = deque(maxlen=3)
        self.counter, self.order = Counter({"calls": 2}), OrderedDict(a=1, b=2)
        self.lists: defaultdict[str, list[int]] = defaultdict(list)
        self.nest = [[0], ({"deep": [0]},)]
        self.numbers, self.bytes_, self.array = np.zeros(3), bytearray(2), array("d", [0.0])
        self.notes, self.slots, self.space = Notes(), Slots(), SimpleNamespace(steps=[0])
        self.members, self.dice = {0}, Random(1)
        self.generator = torch.Generator().manual_seed(5)
        self.aside = [nn.Linear(40, 40)]  # a module that is not registered
        self.plain = torch.zeros(2)
        self.stream = iter(())
        self.hooked = self.counting()

    def counting(self) -> Any:
        """Register a hook that counts in its closure."""
        calls, seen = 0, []

        def hook(*_: Any) -> None:
            nonlocal calls
            calls += 1
            seen.append(calls)

        return self.enter.register_forward_hook(hook)

    def noted(self, history: list[int] = []) -> None:  # noqa: B006
        """Write into everything."""
        type(self).calls += 1
        self.everywhere.append(1)
        history.append(1)
        self.counter["calls"] += 1
        self.order.move_to_end("a")
        self.lists["new"].append(1)
        self.nest[0][0] += 1
        self.nest[1][0]["deep"].append(1)
        self.numbers += 1
        self.bytes_[0] += 1
        self.array[0] += 0.5
        self.notes.steps += 1
        self.notes.seen.append(self.notes.steps)
        self.slots.count += 1
        self.space.steps[0] += 1
        self.members.add(len(self.members))
        self.dice.random()
        torch.rand(1, generator=self.generator)
        with torch.no_grad():
            self.aside[0].weight.add_(1)
            if self.enter.weight.requires_grad:
                self.enter.weight.register_hook(lambda grad: None)
        self.plain += 1
        self.made_late = self.notes.steps
        self.layer_of_no_use = nn.ReLU()

    def forward(self, x: Tensor) -> Any:
        """Logits."""
        self.noted()
        h = torch.relu(self.enter(x))
        self.memory.append(h.detach())
        return self.classify(h)


class FrozenInTraining(nn.Module):
    """A network whose `train` keeps the normalisation in evaluation mode and freezes a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.fixed, self.classify = nn.Conv2d(6, 6, 1), nn.Linear(6, CLASSES)
        self.norm.running_mean.normal_()
        self.norm.running_var.uniform_(0.5, 2)

    def train(self, mode: bool = True) -> "FrozenInTraining":
        """Set the mode, except for what is frozen."""
        super().train(mode)
        self.norm.eval()
        for parameter in self.fixed.parameters():
            parameter.requires_grad = False
        return self

    def forward(self, x: Tensor) -> Any:
        """Logits of the mean pixel."""
        x = torch.relu(self.norm(self.conv(x)))
        return self.classify(torch.relu(self.fixed(x)).mean((2, 3)))


def parametrised() -> nn.Module:
    """Weights that are computed from others, by legacy hooks and by parametrizations."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # deprecated, but still in use
        old = nn.utils.weight_norm(nn.Linear(6, 40)), nn.utils.spectral_norm(nn.Linear(40, 40))
    new = (
        nn.utils.parametrizations.weight_norm(nn.Linear(40, 40)),
        nn.utils.parametrizations.spectral_norm(nn.Linear(40, CLASSES)),
    )
    return nn.Sequential(old[0], nn.ReLU(), old[1], nn.ReLU(), new[0], nn.ReLU(), new[1])


ON_ONE = "absolute weights on one sample of ones"
FLOWS = ("synflow", "synflow_bn", "synflow_reference")
SAMPLEWISE = ("gradsign", "zico_per_sample", "l_swag", "te_nas_ntk")
NO_GRADIENT = (
    *("grad_norm", "snip", "plain", "grasp", "fisher", "fisher_reference", "zico"),
    *("jacob_cov", "epe_nas", "vkdnw", "vkdnw_reference", *SAMPLEWISE, *FLOWS),
    "intrain",
)


def no_gradient(reason: str) -> dict[str, str]:
    """All scores that need a backward pass, undefined for one reason."""
    return dict.fromkeys(NO_GRADIENT, reason)


VKDNW = ("vkdnw", "vkdnw_reference")


TWO = ("enter.weight", "classify.weight")


CHANNELS = ("rmin", "d8", "rd8", "meco", "meco_opt")
FEW = dict.fromkeys(CHANNELS, "no more positions than channels")
VECTORS = {**FEW, "near": "too few for full rank"}


INTEGERS = dict.fromkeys(("jacob_cov", "epe_nas", "zen"), "the inputs are integers")


ODD: dict[str, Odd] = {
    "own_state": Odd(
        OwnState,
        normal(SAMPLES, 5, 6),
        ("recurrent.weight_ih_l0", "recurrent.weight_hh_l0", "classify.weight"),
        {
            "synflow_bn": "in float64",
            "nwot": "kink or a gate",
            **dict.fromkeys(("swap", "l_swag", "te_nas_regions"), "kink or a gate"),
            **FEW,
            **dict.fromkeys(("rmin", "rd8", "intrain", "wrcor"), "is an activation function"),
        },
        double=False,
    ),
    "one_graph": Odd(
        OneGraph,
        normal(SAMPLES, 6),
        ("first.weight", "second.weight"),
        {
            **dict.fromkeys(FLOWS, ON_ONE),
            "zico": "does not run on half of the batch",
            **dict.fromkeys((*VKDNW, *SAMPLEWISE), "does not run on one sample"),
            **VECTORS,
        },
    ),
    "sparse_table": Odd(
        SparseTable,
        tokens,
        ("table.weight", "classify.weight"),
        INTEGERS | FEW,
    ),
    "equilibrium": Odd(
        Equilibrium,
        normal(SAMPLES, 6),
        ("inner.weight", "inject.weight", "classify.weight"),
        {
            "nwot": "kink or a gate",
            **dict.fromkeys(("swap", "l_swag", "te_nas_regions"), "kink or a gate"),
            "grasp": "differences of the gradient",
            "wrcor": "cannot be observed",
            **FEW,
        },
    ),
    "key_error_going_back": Odd(
        lambda: FailsGoingBack(KeyError("gate")),
        normal(SAMPLES, 6),
        TWO,
        no_gradient("the backward pass raised KeyError: 'gate'") | VECTORS,
    ),
    "exit_going_back": Odd(
        lambda: FailsGoingBack(SystemExit(3)),
        normal(SAMPLES, 6),
        TWO,
        no_gradient("the backward pass raised SystemExit: 3") | VECTORS,
    ),
    "renormalised": Odd(
        Renormalised,
        tokens,
        ("table.weight", "mix.weight", "clipped.weight", "classify.weight"),
        INTEGERS | FEW,
    ),
    "remembers": Odd(Remembers, normal(SAMPLES, 6), TWO, VECTORS),
    "frozen_in_training": Odd(
        FrozenInTraining, normal(SAMPLES, 3, 5, 5), ("conv.weight", "classify.weight")
    ),
    "parametrised": Odd(
        parametrised,
        normal(SAMPLES, 6),
        (
            *("0.weight_v", "2.weight_orig", "4.parametrizations.weight.original1"),
            "6.parametrizations.weight.original",
        ),
        VECTORS,
    ),
    "stops_gradient": Odd(
        StopsGradient,
        normal(SAMPLES, 6),
        TWO,
        {**VECTORS, "grasp": "differences of the gradient"},
    ),
    "straight_through": Odd(
        StraightThrough,
        normal(SAMPLES, 6),
        TWO,
        {**VECTORS, "grasp": "a straight-through estimator"},
    ),
    "through_numpy": Odd(
        ThroughNumPy,
        normal(SAMPLES, 6),
        TWO,
        {**VECTORS, **dict.fromkeys(("jacob_cov", "epe_nas"), "on inputs that require gradients")},
    ),
    "inner_gradient": Odd(
        InnerGradient,
        normal(SAMPLES, 6),
        TWO,
        {
            **VECTORS,
            **dict.fromkeys(("fisher", "fisher_reference", "d8"), "`grad` uses the weight"),
        },
    ),
    "of_functions": Odd(
        OfFunctions,
        normal(SAMPLES, 6),
        ("members.0.weight", "members.1.weight", "energy.weight", "classify.weight"),
        {
            **FEW,
            **dict.fromkeys(("fisher", "fisher_reference", *FLOWS), "a function of torch.func"),
            **dict.fromkeys(("nwot", "swap", "l_swag", "rmin", "rd8"), "a function of torch.func"),
            **dict.fromkeys(("d8", "near"), "a function of torch.func"),
            **dict.fromkeys(("wrcor", "te_nas_regions", "intrain"), "a function of torch.func"),
            **dict.fromkeys((*OF_ATTENTION, "w_pca"), "a function of torch.func"),
            "zen": "a function of torch.func cannot be observed, and may pool",
        },
        hooked=False,
    ),
    "needs_all": Odd(
        NeedsAll,
        normal(SAMPLES, 6),
        TWO,
        {
            **dict.fromkeys(
                ("synflow", "synflow_bn", "synflow_reference"), "SystemExit: 1 samples"
            ),
            "zico": "does not run on half of the batch (SystemExit: 4 samples)",
            **dict.fromkeys((*VKDNW, *SAMPLEWISE), "does not run on one sample"),
            **VECTORS,
        },
    ),
}


def make_odd(name: str, dtype: torch.dtype = torch.float32) -> tuple[nn.Module, tuple[Any, Tensor]]:
    """The model, always with the same weights, and its batch."""
    odd = ODD[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = odd.build().to(dtype)
    inputs = odd.inputs()
    inputs = inputs.to(dtype) if inputs.is_floating_point() else inputs
    return model, (inputs, torch.arange(SAMPLES) % CLASSES)
