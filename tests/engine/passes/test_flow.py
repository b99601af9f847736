"""The flow takes absolute values of parameters, keeps buffers, and must observe everything."""

import re
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foretell import score

FLOWS = ["synflow", "synflow_bn", "synflow_reference"]
TOKENS = torch.randn(4, 7, 6, generator=torch.Generator().manual_seed(0)).double()
BATCH = (TOKENS, torch.arange(4) % 3)


def values(model: nn.Module, proxies: list[str] = FLOWS) -> list[float]:
    """The scores, which must all be defined."""
    found = score(model.double(), BATCH, proxies)
    assert not [one.why for one in found.values() if one.why]
    return [one.value for one in found.values()]


class Constant(nn.Module):
    """A network with a constant that is a buffer or a plain attribute."""

    def __init__(self, held: Tensor, use: Callable[[Tensor, Tensor], Tensor], buffer: bool) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.enter, self.classify = nn.Linear(6, 6), nn.Linear(6, 3)
        self.use = use
        if buffer:
            self.register_buffer("held", held)
        else:
            self.held = held

    def forward(self, x: Tensor) -> Any:
        """Logits of the mean token."""
        return self.classify(torch.relu(self.use(self.enter(x), self.held)).mean(1))


POSITIONS = torch.sin(torch.arange(7.0)[:, None] * torch.arange(1, 7)[None]).double()
MASK = torch.triu(torch.full((7, 7), -torch.inf), 1).double()
CONSTANTS: dict[str, tuple[Tensor, Callable[[Tensor, Tensor], Tensor]]] = {
    "positions": (POSITIONS, lambda x, held: x + held),
    "mask": (MASK, lambda x, held: F.scaled_dot_product_attention(x, x, x, attn_mask=held)),
    "mask before softmax": (
        MASK,
        lambda x, held: (x @ x.transpose(1, 2) + held).softmax(-1) @ x,
    ),
    "filter": (POSITIONS[1:, :6] + 0.5, lambda x, held: F.linear(x, held)),
    "signs": (torch.tensor([1.0, -1.0] * 3).double(), lambda x, held: x * held),
}


@pytest.mark.parametrize("kind", CONSTANTS)
def test_a_buffer_is_what_it_is_as_an_attribute(kind: str) -> None:
    held, use = CONSTANTS[kind]
    assert values(Constant(held, use, True)) == values(Constant(held, use, False))


class Swish(torch.autograd.Function):
    """Swish with a hand-written derivative that saves little."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * torch.sigmoid(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        gate = torch.sigmoid(x)
        return grads[0] * (gate * (1 + x * (1 - gate)))


class Attend(torch.autograd.Function):
    """Attention with a hand-written derivative; the flow would make it uniform."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return F.softmax(x @ x.transpose(-1, -2), dim=-1) @ x

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            out = F.softmax(x @ x.transpose(-1, -2), dim=-1) @ x
        return torch.autograd.grad(out, x, grads[0])[0]


class Again(torch.autograd.Function):
    """Runs a module again in the backward pass, as adjoint solvers do."""

    @staticmethod
    def forward(ctx: Any, module: nn.Module, x: Tensor, *weights: Tensor) -> Tensor:
        ctx.module = module
        ctx.save_for_backward(x, *weights)
        with torch.no_grad():
            return x + module(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, *weights = ctx.saved_tensors
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            out = x + ctx.module(x)
        found = torch.autograd.grad(out, [x, *weights], grads[0], allow_unused=True)
        return None, *found


class Deep(nn.Module):
    """Layers with a user's function between them."""

    def __init__(self, between: Callable[[Tensor], Tensor], depth: int = 2) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.layers = nn.ModuleList(nn.Linear(6, 6) for _ in range(depth))
            self.classify = nn.Linear(6, 3)
        self.between = between

    def forward(self, x: Tensor) -> Any:
        """Logits of the mean token."""
        for layer in self.layers:
            x = self.between(layer(x))
        return self.classify(x.mean(1))


class Solved(nn.Module):
    """A residual block whose backward pass runs it again, or that autograd differentiates."""

    def __init__(self, inner: nn.Module, adjoint: bool) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.inner = nn.Sequential(nn.Linear(6, 6), inner)
            self.classify = nn.Linear(6, 3)
        self.adjoint = adjoint

    def forward(self, x: Tensor) -> Any:
        """Logits of the mean token."""
        if self.adjoint:
            weights = [p for p in self.inner.parameters() if p.requires_grad]
            x = Again.apply(self.inner, x, *weights)
        else:
            x = x + self.inner(x)
        return self.classify(x.mean(1))


def test_a_derivative_by_hand_is_part_of_the_flow() -> None:
    expected = values(Deep(F.silu), ["synflow"])
    assert values(Deep(Swish.apply), ["synflow"]) == pytest.approx(expected, rel=1e-12)


def test_a_backward_pass_that_runs_a_part_again_sees_the_absolute_weights() -> None:
    expected = values(Solved(nn.ReLU(), False), ["synflow"])
    assert values(Solved(nn.ReLU(), True), ["synflow"]) == pytest.approx(expected, rel=1e-12)


def traced(x: Tensor) -> Tensor:
    """A function that torch.jit.trace records."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        recorded: Tensor = torch.jit.trace(torch.nn.functional.silu, torch.ones(2))(x)
    return recorded


def grown(model: nn.Module) -> nn.Module:
    """The model with weights so large that several layers exceed the range of floats."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1e6)
    return model


UNSEEN: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "beyond floats": (
        lambda: grown(Deep(Swish.apply, 90)),
        "custom derivative.* exceeds the range",
    ),
    "replaced within": (lambda: Deep(Attend.apply), "custom derivative.* replaces"),
    "bypassed within": (lambda: Solved(nn.LayerNorm(6), True), "custom derivative.* replaces"),
    "traced": (lambda: Deep(traced), "cannot be observed"),
}


@pytest.mark.parametrize("kind", UNSEEN)
def test_what_the_flow_cannot_follow_is_undefined(kind: str) -> None:
    build, message = UNSEEN[kind]
    one = score(build().double(), BATCH, "synflow")["synflow"]
    assert one.why is not None
    assert re.search(message, one.why)
