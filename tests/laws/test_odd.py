"""Laws of every proxy on unusual models: a score is right, or undefined with a reason."""

import asyncio
import math
from collections import ChainMap
from collections.abc import Callable
from functools import cache
from io import StringIO
from queue import Queue
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from foretell import Score, explain, rank, score
from foretell.proxies import PROXIES
from tests.support.models import AT_BLOCKS, OF_ATTENTION
from tests.support.odd_models import CLASSES, ODD, SAMPLES, FailsGoingBack, make_odd, normal
from tests.support.portraits import portrait, streams
from tests.twins.gradients import grad_norm, plain, snip

ALL = list(PROXIES)
TWINS = {"grad_norm": grad_norm, "snip": snip, "plain": plain}


@cache
def together(name: str) -> dict[str, Score]:
    """All scores of a model, from a single call."""
    return score(*make_odd(name), ALL)


@pytest.mark.parametrize("name", ODD)
def test_each_score_is_undefined_by_itself_with_its_own_reason(name: str) -> None:
    found = {proxy: one.why for proxy, one in together(name).items() if one.why}
    expected = {
        **dict.fromkeys(AT_BLOCKS, "no repeated blocks found"),
        **dict.fromkeys(OF_ATTENTION, "no attention is seen"),
        "w_pca": "no feed-forward layer is seen",
        **ODD[name].undefined,
    }
    assert set(found) == set(expected)
    for proxy, words in expected.items():
        assert words in str(found[proxy]), proxy
        assert "\n" not in str(found[proxy])
        assert math.isnan(together(name)[proxy].value)


@pytest.mark.parametrize("name", ODD)
def test_a_score_does_not_depend_on_what_else_is_asked(name: str) -> None:
    for proxy in ALL:
        alone = score(*make_odd(name), proxy)[proxy]
        assert alone.value.hex() == together(name)[proxy].value.hex(), proxy
        assert alone.why == together(name)[proxy].why, proxy


@pytest.mark.parametrize("name", ODD)
def test_the_model_and_the_generators_come_back_bit_for_bit(name: str) -> None:
    model, batch = make_odd(name)
    before, random_before = portrait(model), streams()
    score(model, batch, ALL)
    assert portrait(model) == before
    assert streams() == random_before


@pytest.mark.parametrize("name", ODD)
def test_gradients_are_those_of_a_copy_that_is_trained(name: str) -> None:
    dtype = torch.float64 if ODD[name].double else torch.float32
    model, batch = make_odd(name, dtype)
    found = score(model, batch, list(TWINS))
    for proxy, twin in TWINS.items():
        if proxy not in ODD[name].undefined:
            expected = twin(*make_odd(name, dtype), ODD[name].weights)
            near = 1e-10 if ODD[name].double else 1e-4
            assert found[proxy].value == pytest.approx(expected, rel=near), proxy


@pytest.mark.parametrize("name", ODD)
def test_what_it_would_cost_can_be_said(name: str) -> None:
    explained = explain(ALL, *make_odd(name))
    assert explained.forward_flops
    assert (explained.memory is not None) == ODD[name].hooked


CALLS = 0
SEEN: list[int] = []


def called() -> None:
    """Count in a variable of this file."""
    global CALLS
    CALLS += 1


class Slotted:
    """An object whose attribute is set later."""

    __slots__ = ("late",)


def late(held: Any, _: Tensor) -> None:
    """Set the attribute."""
    held.late = 1


Write = Callable[[Any, Tensor], Any]

HELD: dict[str, tuple[Callable[[], Any], Write, Callable[[Any], Any]]] = {
    "variable of a file": (object, lambda held, x: called(), lambda held: CALLS),
    "list of a file": (object, lambda held, x: SEEN.append(1), lambda held: list(SEEN)),
    "queue": (Queue, lambda held, x: held.put(1), lambda held: held.qsize()),
    "chain": (lambda: ChainMap({}), lambda held, x: held.update(a=1), dict),
    "weak keys": (WeakKeyDictionary, lambda held, x: held.update({x: 1}), len),
    "stream": (StringIO, lambda held, x: held.write("a"), lambda held: held.getvalue()),
    "bits": (lambda: np.random.PCG64(0), lambda held, x: held.random_raw(), lambda h: h.state),
    "distribution": (
        lambda: torch.distributions.Normal(torch.zeros(2), torch.ones(2)),
        lambda held, x: setattr(held, "loc", held.loc + 1),
        lambda held: held.loc.tolist(),
    ),
    "slot": (Slotted, late, lambda held: hasattr(held, "late")),
    "resized array": (
        lambda: np.zeros(2),
        lambda held, x: held.resize(4, refcheck=False),
        lambda held: held.tolist(),
    ),
    "equal member": (
        lambda: {1},
        lambda held, x: (held.clear(), held.add(1.0)),
        repr,
    ),
    "expanded": (
        lambda: torch.zeros(1).expand(3),
        lambda held, x: held[:1].add_(1),
        lambda held: held.tolist(),
    ),
    "sparse": (
        lambda: torch.eye(2).to_sparse(),
        lambda held, x: held._values().add_(1),
        lambda held: held.to_dense().tolist(),
    ),
    "hook after backward": (
        lambda: nn.Parameter(torch.zeros(2)),
        lambda held, x: held.register_post_accumulate_grad_hook(print),
        lambda held: len(held._post_accumulate_grad_hooks or ()),
    ),
}
"""What a model may hold: how it is made, written to in each forward pass, and read."""


class Holds(nn.Module):
    """A network that writes to something that it holds in a list."""

    def __init__(self, held: Any, write: Write) -> None:
        super().__init__()
        self.enter, self.classify = nn.Linear(6, 40), nn.Linear(40, CLASSES)
        self.held, self.write = [held], write

    def forward(self, x: Tensor) -> Any:
        self.write(self.held[0], x)
        return self.classify(torch.relu(self.enter(x)))


@pytest.mark.parametrize("name", HELD)
def test_whatever_a_model_writes_to_is_restored(name: str) -> None:
    make, write, read = HELD[name]
    held = make()
    before = read(held)
    batch = normal(SAMPLES, 6)(), torch.arange(SAMPLES) % CLASSES
    assert score(Holds(held, write), batch, "snip")["snip"].value > 0
    assert read(held) == before


class OwnKind(BaseException):
    """A kind of exception that is not derived from Exception."""


class WithoutText(Exception):
    """An exception whose message cannot be read."""

    def __str__(self) -> str:
        raise KeyError("no text")


ERRORS: dict[str, BaseException] = {
    "own kind": OwnKind("own"),
    "cancelled": asyncio.CancelledError("cancelled"),
    "generator": GeneratorExit(),
    "without text": WithoutText(),
    "control characters": ValueError("a\0b \x1b[31m \udcff \u2028 c"),
    "long": ValueError("long " * 10_000),
    "memory in words": LookupError("can't allocate memory"),
}


class Raises(nn.Module):
    """A network that raises an error unless it is given enough samples."""

    def __init__(self, error: BaseException, enough: int = SAMPLES) -> None:
        super().__init__()
        self.enter, self.classify = nn.Linear(6, 40), nn.Linear(40, CLASSES)
        self.error, self.enough = error, enough

    def forward(self, x: Tensor) -> Any:
        self.enter.weight.data.mul_(2)
        if len(x) < self.enough:
            raise self.error
        return self.classify(torch.relu(self.enter(x)))


def one_line(text: object) -> bool:
    """Whether this is a line that any terminal can show."""
    return str(text).isprintable() and len(str(text)) < 500


@pytest.mark.parametrize("error", ERRORS)
def test_whatever_a_model_raises_is_the_reason_of_what_needs_it(error: str) -> None:
    batch = normal(SAMPLES, 6)(), torch.arange(SAMPLES) % CLASSES
    names, kind = ["snip", "synflow", "zico", "l2_norm"], type(ERRORS[error]).__name__
    found = score(Raises(ERRORS[error]), batch, names)
    assert {name for name in names if found[name].why} == {"synflow", "zico"}
    for name in ("synflow", "zico"):
        assert kind in str(found[name].why)
        assert one_line(found[name].why)
    back = score(FailsGoingBack(ERRORS[error]), batch, ["snip", "params"])
    assert kind in str(back["snip"].why)
    assert one_line(back["snip"].why)
    assert back["params"].why is None
    table = rank({"fails": Raises(ERRORS[error], 99), "fine": nn.Linear(6, 4)}, batch, "snip")
    assert table.loc["fine", "snip"] > 0
    assert kind in table.loc["fails", "why"]
    assert one_line(table.loc["fails", "why"])


def test_an_interrupt_leaves_the_model_as_it_was() -> None:
    model = Raises(KeyboardInterrupt())
    before = portrait(model)
    with pytest.raises(KeyboardInterrupt):
        score(model, (torch.ones(2, 6), torch.tensor([0, 1])), "snip")
    assert portrait(model) == before


@pytest.mark.parametrize("name", ODD)
def test_scored_again_it_has_the_same_scores(name: str) -> None:
    model, batch = make_odd(name)
    for _ in range(2):
        again = score(model, batch, ALL)
        assert {p: one.value.hex() for p, one in again.items()} == {
            p: one.value.hex() for p, one in together(name).items()
        }
