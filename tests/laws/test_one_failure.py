"""One score that cannot be computed never changes another one, wherever an error is raised."""

from collections.abc import Iterable
from dataclasses import replace
from functools import cache, wraps
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from foretell import Score, score
from foretell.engine.curvature.tangents import Tangents
from foretell.engine.observers.activation_codes import Codes
from foretell.engine.observers.attention import ATTENTION_QUANTITIES, Attention
from foretell.engine.observers.channels import CHANNEL_QUANTITIES, Channels
from foretell.engine.observers.dataflow import Dataflow
from foretell.engine.observers.layer_outputs import Watch
from foretell.engine.observers.layer_rows import ROW_QUANTITIES, LayerRows
from foretell.engine.observers.responses import RESPONSE_QUANTITIES, Responses
from foretell.engine.observers.samples import Samples
from foretell.engine.passes import PASSES, READ, loss, samples
from foretell.engine.passes.count import FROM_USE
from foretell.engine.passes.loss import FROM_LOSS, WATCHED
from foretell.proxies import PROXIES
from foretell.proxies.quantities import QUANTITIES, STEPS

ALL = list(PROXIES)


class Small(nn.Module):
    """A convolution and a block of attention."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)
        self.block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.classify = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Any:
        """Logits."""
        tokens = torch.relu(self.norm(self.conv(x))).flatten(2).mT
        return self.classify(self.block(tokens).mean(1))


def scored() -> dict[str, Score]:
    """All scores of the model."""
    torch.manual_seed(0)
    return score(Small(), (torch.randn(6, 3, 6, 6), torch.arange(6) % 3), ALL)


@cache
def expected() -> dict[str, Score]:
    """The scores without an error."""
    return scored()


def broken(*_: Any, **__: Any) -> Any:
    """What raises the error."""
    raise RuntimeError("injected")


def check(found: dict[str, Score], hit: set[str]) -> None:
    """The scores that need a quantity among `hit` name the error; the others are unchanged."""
    for name, one in found.items():
        if hit & set(PROXIES[name].needs):
            assert "RuntimeError: injected" in str(one.why), name
        else:
            before = expected()[name]
            assert (one.value.hex(), one.why) == (before.value.hex(), before.why), name


def of_pass(name: str) -> set[str]:
    """The quantities of a pass."""
    return {one for one, quantity in QUANTITIES.items() if STEPS[quantity.step].of == name}


@pytest.mark.parametrize("name", PASSES)
def test_an_error_in_a_pass(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected()
    monkeypatch.setitem(PASSES, name, broken)
    check(scored(), of_pass(name))


@pytest.mark.parametrize("name", READ)
def test_an_error_in_what_is_read(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected()
    monkeypatch.setitem(READ, name, broken)
    check(scored(), {name})


OF_SAMPLES = {"feature_change", "norm_variances", "activation_patterns"}
"""The quantities of other passes that follow the samples."""


INSIDE: dict[str, tuple[Any, str, Iterable[str]]] = {
    "codes": (Codes, "look", {"codes_kernel", "activation_patterns"}),
    "what codes give": (Codes, "kernel", {"codes_kernel"}),
    "channels": (Channels, "look", CHANNEL_QUANTITIES),
    "what channels give": (Channels, "quantity", CHANNEL_QUANTITIES),
    "rows": (LayerRows, "look", ROW_QUANTITIES),
    "what rows give": (LayerRows, "quantity", ROW_QUANTITIES),
    "responses": (Responses, "enters", RESPONSE_QUANTITIES),
    "going back to responses": (Responses, "differentiate", RESPONSE_QUANTITIES),
    "attention": (Attention, "look", ATTENTION_QUANTITIES),
    "what attention gives": (Attention, "quantity", ATTENTION_QUANTITIES),
    "samples": (Samples, "look", WATCHED | OF_SAMPLES),
    "where samples are": (loss, "settle", WATCHED),
    "layers that are tapped": (Watch, "_tap", {"taylor", "fan_in"}),
    "the gradient": (loss, "backward", FROM_LOSS),
    "the gradient by the inputs": (loss, "jacobian", {"input_grads"}),
    "the curvature": (loss, "hessian_product", {"hessian_weights"}),
    "what the curvature needs": (Tangents, "check_gradient", {"hessian_weights"}),
    "what is used": (Dataflow, "used_by", FROM_USE),
    "signs of samples": (samples.Sums, "add", {"sample_signs", "sample_moments"}),
    "moments of samples": (samples.Spread, "add", {"sample_moments"}),
    "rows of samples": (samples.Rows, "found", {"sample_kernel"}),
}
"""What is inside of passes, and the quantities that need it."""


@pytest.mark.parametrize("where", INSIDE)
def test_an_error_inside_a_pass(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected()
    owner, name, quantities = INSIDE[where]
    monkeypatch.setattr(owner, name, broken)
    if name == "backward":  # other passes take gradients of their own
        quantities = set(quantities) | of_pass("samples") | of_pass("halves")
    check(scored(), set(quantities))


@pytest.mark.parametrize("name", ["snip", "nwot", "params", "near"])
def test_an_error_in_the_function_of_a_proxy(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected()
    function = wraps(PROXIES[name].function)(lambda **_: broken())
    monkeypatch.setitem(PROXIES, name, replace(PROXIES[name], function=function))
    found = scored()
    assert found.pop(name).why == "the proxy raised RuntimeError: injected"
    check(found, set())
