"""Models that do what PyTorch allows and networks seldom do, each with a batch that fits it.

Every one is a function, or a class and an entry in `ODD`. The laws in `tests/laws/test_odd.py` run
over all of them.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

CLASSES = 4
SAMPLES = 8


@dataclass(frozen=True)
class Odd:
    """A model out of the ordinary, and what is known of it without the engine."""

    build: Callable[[], nn.Module]
    inputs: Callable[[], Any]
    weights: tuple[str, ...]
    """Names of the parameters that count as weights, written down by hand."""
    undefined: Mapping[str, str] = field(default_factory=dict)
    """Which of all scores it does not have, and words of the reason."""
    double: bool = True
    """It also runs in float64."""


def normal(*shape: int) -> Callable[[], Tensor]:
    """Inputs of N(0, 1) in float32, the same whenever asked."""
    return lambda: torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def tokens() -> Tensor:
    """Numbers of twenty tokens."""
    return torch.randint(20, (SAMPLES, 7), generator=torch.Generator().manual_seed(1))


class OwnState(nn.Module):
    """A recurrent network that begins with a state it makes in float32."""

    def __init__(self) -> None:
        super().__init__()
        self.recurrent, self.classify = nn.LSTM(6, 5, batch_first=True), nn.Linear(5, CLASSES)

    def forward(self, x: Tensor) -> Any:
        """Logits of the last step."""
        state = torch.zeros(1, len(x), 5)
        return self.classify(self.recurrent(x, (state, state))[0][:, -1])


class OneGraph(nn.Module):
    """A graph network whose samples are the nodes of one graph, which it holds."""

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
    """Embeddings whose gradient is a sparse tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.classify = nn.Embedding(20, 40, sparse=True), nn.Linear(40, CLASSES)

    def forward(self, x: Tensor) -> Any:
        """Logits of the mean token."""
        return self.classify(torch.relu(self.table(x)).mean(1))


class Equilibrium(nn.Module):
    """A deep equilibrium layer, whose backward pass solves by gradients of its own."""

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
    """The identity, with a backward pass that cannot be."""

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
    """Its backward pass raises."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error
        self.enter, self.classify = nn.Linear(6, 40), nn.Linear(40, CLASSES)

    def forward(self, x: Tensor) -> Any:
        """Logits."""
        return self.classify(torch.relu(Raises.apply(self.enter(x), self.error)))


class NeedsAll(nn.Module):
    """Exits unless it is given the samples it expects."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.classify = nn.Linear(6, 40), nn.Linear(40, CLASSES)

    def forward(self, x: Tensor) -> Any:
        """Logits."""
        if len(x) != SAMPLES:
            sys.exit(f"{len(x)} samples")
        return self.classify(torch.relu(self.enter(x)))


ON_ONE = "absolute weights on one sample of ones"
FLOWS = ("synflow", "synflow_bn", "synflow_reference")
NO_GRADIENT = (
    *("grad_norm", "snip", "plain", "grasp", "fisher", "fisher_reference", "zico"),
    *("jacob_cov", "epe_nas", *FLOWS),
)


def no_gradient(reason: str) -> dict[str, str]:
    """Every score that needs a backward pass, undefined for one reason."""
    return dict.fromkeys(NO_GRADIENT, reason)


TWO = ("enter.weight", "classify.weight")


ODD: dict[str, Odd] = {
    "own_state": Odd(
        OwnState,
        normal(SAMPLES, 5, 6),
        ("recurrent.weight_ih_l0", "recurrent.weight_hh_l0", "classify.weight"),
        {"synflow_bn": "in float64", "nwot": "kink or a gate"},
        double=False,
    ),
    "one_graph": Odd(
        OneGraph,
        normal(SAMPLES, 6),
        ("first.weight", "second.weight"),
        {
            **dict.fromkeys(FLOWS, ON_ONE),
            "zico": "does not run on half of the batch",
        },
    ),
    "sparse_table": Odd(
        SparseTable,
        tokens,
        ("table.weight", "classify.weight"),
        dict.fromkeys(("jacob_cov", "epe_nas", "zen"), "the inputs are integers"),
    ),
    "equilibrium": Odd(
        Equilibrium,
        normal(SAMPLES, 6),
        ("inner.weight", "inject.weight", "classify.weight"),
        {"nwot": "kink or a gate"},
    ),
    "key_error_going_back": Odd(
        lambda: FailsGoingBack(KeyError("gate")),
        normal(SAMPLES, 6),
        TWO,
        no_gradient("the backward pass raised KeyError: 'gate'"),
    ),
    "exit_going_back": Odd(
        lambda: FailsGoingBack(SystemExit(3)),
        normal(SAMPLES, 6),
        TWO,
        no_gradient("the backward pass raised SystemExit: 3"),
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
        },
    ),
}


def make_odd(name: str, dtype: torch.dtype = torch.float32) -> tuple[nn.Module, tuple[Any, Tensor]]:
    """The model, its weights always the same, and its batch."""
    odd = ODD[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = odd.build().to(dtype)
    inputs = odd.inputs()
    inputs = inputs.to(dtype) if inputs.is_floating_point() else inputs
    return model, (inputs, torch.arange(SAMPLES) % CLASSES)
