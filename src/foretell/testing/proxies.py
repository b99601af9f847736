"""The requirements that every proxy must meet, checked on small networks of several kinds."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from foretell.checks import as_choice, as_text, optional
from foretell.engine.plan import find
from foretell.errors import ForetellError
from foretell.proxies import PROXIES
from foretell.scoring.score import Score, score
from foretell.testing.generators import generator_states

__all__ = ["MODELS", "check_proxy"]

COMPANY = ("grad_norm", "grasp", "fisher", "synflow", "jacob_cov", "params")


class Attention(nn.Module):
    """Self-attention with a residual connection and LayerNorm, and a classifier with GELU."""

    def __init__(self) -> None:
        super().__init__()
        self.attend = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm = nn.LayerNorm(8)
        self.classify = nn.Sequential(nn.Linear(8, 12), nn.GELU(), nn.Linear(12, 3))

    def forward(self, x: Tensor) -> Tensor:
        """Logits of images, each taken for sixteen tokens of eight numbers."""
        tokens = x.reshape(len(x), -1, 8)
        mixed, _ = self.attend(tokens, tokens, tokens, need_weights=False)
        logits: Tensor = self.classify(self.norm(tokens + mixed).mean(1))
        return logits


def plain_net() -> nn.Module:
    """Convolutions without normalisation, one with an in-place activation."""
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1), nn.SiLU(inplace=True), nn.Conv2d(6, 4, 3), nn.ReLU(),
        nn.Flatten(), nn.Linear(4 * 36, 3),
    )  # fmt: skip


def normed_net() -> nn.Module:
    """Convolutions with BatchNorm, one of them depthwise and frozen, and dropout."""
    net = nn.Sequential(
        nn.Conv2d(2, 6, 3), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.Conv2d(6, 6, 3, groups=6),
        nn.BatchNorm2d(6), nn.Hardswish(), nn.Dropout(0.2), nn.Flatten(), nn.Linear(6 * 16, 3),
    )  # fmt: skip
    net[3].requires_grad_(False)
    return net


def tied_net() -> nn.Module:
    """A network that uses one layer twice."""
    shared = nn.Linear(128, 128)
    return nn.Sequential(nn.Flatten(), shared, nn.ReLU(), shared, nn.Tanh(), nn.Linear(128, 3))


MODELS: dict[str, Callable[[], nn.Module]] = {
    "plain": plain_net,
    "normed": normed_net,
    "tied": tied_net,
    "attention": Attention,
}
"""Small networks that take `[N, 2, 8, 8]` images and return three logits."""


def check_proxy(name: str, model: str | None = None) -> None:
    """Raise AssertionError with the requirement that the registered proxy does not meet, if any.

    `model` names one of `MODELS`; by default, the proxy is checked on all of them.

    >>> check_proxy("snip", "normed")
    """
    name = find(as_text("name", name, "the name of a proxy")).name
    model = optional(as_choice)("model", model, MODELS, "model")
    for one in MODELS if model is None else [model]:
        try:
            check_on(name, one)
        except AssertionError as broken:
            raise AssertionError(f"{name} on the model {one!r}: {broken}") from None


def check_on(name: str, model: str) -> None:
    """Check all requirements on one of the models."""
    net, batch = made(model), images()
    before = picture(net, batch), generator_states()
    scores = score(net, batch, name)
    assert picture(net, batch) == before[0], "scoring has changed the model or the batch"
    assert generator_states() == before[1], "scoring changed a global random number generator"
    found = scores[name]
    assert math.isnan(found.value) == (found.why is not None), "nan and a reason must go together"
    together = score(made(model), batch, [*reversed(COMPANY), name])[name]
    assert same(found, together), "the value depends on which other proxies are requested"
    with torch.random.fork_rng():
        torch.manual_seed(99)
        elsewhere = score(made(model).eval(), batch, name)[name]
    assert same(found, elsewhere), "the value depends on the caller's random state or mode"
    assert same(found, score(net, batch, name)[name]), "scoring again gives a different value"
    check_seed(name, model, found)
    check_parts(name, model, found)


def check_seed(name: str, model: str, found: Score) -> None:
    """Check that the seed matters only if the proxy declares `draws` or the model has dropout."""
    if not PROXIES[name].draws and not any(
        isinstance(m, nn.Dropout) for m in made(model).modules()
    ):
        other = score(made(model), images(), name, seed=1)[name]
        assert same(found, other), "the value depends on the seed; register it with draws=True"


def check_parts(name: str, model: str, whole: Score) -> None:
    """Check that micro-batches give the same value, or are refused."""
    try:
        parts = score(made(model), images(), name, micro_batch=2)[name]
    except ForetellError:
        return
    close = math.isclose(parts.value, whole.value, rel_tol=1e-3, abs_tol=1e-4)
    assert close or math.isnan(whole.value), (
        f"micro-batches give {parts.value}, the whole batch gives {whole.value}"
    )


def made(model: str) -> nn.Module:
    """Build the network; it always has the same weights."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        return MODELS[model]()


def images() -> tuple[Tensor, Tensor]:
    """Six images and labels."""
    generator = torch.Generator().manual_seed(11)
    return torch.randn(6, 2, 8, 8, generator=generator), torch.tensor([0, 1, 2, 0, 1, 2])


def same(first: Score, second: Score) -> bool:
    """Whether two scores are equal to the last bit."""
    return first.value.hex() == second.value.hex()


def picture(net: nn.Module, batch: tuple[Tensor, Tensor]) -> list[Any]:
    """A copy of everything that scoring must not change."""
    state = [(key, value.numpy().tobytes()) for key, value in net.state_dict().items()]
    flags = [(p.requires_grad, p.grad is None) for p in net.parameters()]
    modes = [(m.training, len(m._forward_hooks), len(m._forward_pre_hooks)) for m in net.modules()]
    return [state, flags, modes, [tensor.numpy().tobytes() for tensor in batch]]
