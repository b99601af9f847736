"""Laws of every proxy on unusual models: a score is right, or undefined with a reason."""

import math
from functools import cache

import pytest
import torch

from foretell import Score, explain, score
from foretell.proxies import PROXIES
from tests.support.models import AT_BLOCKS, OF_ATTENTION
from tests.support.odd_models import ODD, make_odd
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


@pytest.mark.parametrize("name", ODD)
def test_scored_again_it_has_the_same_scores(name: str) -> None:
    model, batch = make_odd(name)
    for _ in range(2):
        again = score(model, batch, ALL)
        assert {p: one.value.hex() for p, one in again.items()} == {
            p: one.value.hex() for p, one in together(name).items()
        }
