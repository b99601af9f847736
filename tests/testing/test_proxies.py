"""`check_proxy` accepts our proxies, and names each requirement that is not met."""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from foretell import ForetellError, Score
from foretell.proxies import PROXIES, register
from foretell.testing import MODELS, check_proxy
from foretell.testing import proxies as testing


@pytest.fixture(autouse=True)
def registry_as_it_was() -> Iterator[None]:
    """Proxies that a test registers are removed afterwards."""
    before = dict(PROXIES)
    yield
    PROXIES.clear()
    PROXIES.update(before)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", list(PROXIES))
def test_own_proxies_keep_the_laws(name: str, model: str) -> None:
    check_proxy(name, model)


def broken(function: Callable[..., Any], **known: Any) -> str:
    """The name of a proxy registered with this function."""
    function.__doc__ = "A number."
    register(source="a test", **known)(function)
    return function.__name__


def test_one_that_counts_its_calls_is_caught() -> None:
    calls: list[int] = []

    def counting(weights: dict[str, Tensor]) -> float:
        calls.append(1)
        return float(len(calls))

    with pytest.raises(AssertionError, match="counting on the model 'plain': the value depends on"):
        check_proxy(broken(counting))


def test_one_that_changes_the_weights_is_caught() -> None:
    def shrinking(weights: dict[str, Tensor]) -> Tensor:
        with torch.no_grad():
            return torch.stack([w.mul_(0.5).sum() for w in weights.values()]).sum()

    with pytest.raises(AssertionError, match="scoring has changed the model or the batch"):
        check_proxy(broken(shrinking), "tied")


def test_one_that_draws_from_a_global_generator_is_caught() -> None:
    def drawing(weights: dict[str, Tensor]) -> float:
        return random.random()

    state = random.getstate()
    with pytest.raises(AssertionError, match="changed a global random number generator"):
        check_proxy(broken(drawing), "plain")
    random.setstate(state)


def test_one_that_reads_a_global_generator_is_caught() -> None:
    def reading(weights: dict[str, Tensor]) -> float:
        return float(torch.get_rng_state().sum())

    with pytest.raises(AssertionError, match="depends on the caller's random state or mode"):
        check_proxy(broken(reading), "plain")


def test_one_whose_value_in_parts_is_another_is_caught() -> None:
    def largest(grads: dict[str, Tensor]) -> Tensor:
        return torch.stack([g.abs().max() for g in grads.values()]).max()

    check_proxy(broken(largest), "plain")

    def parts(grads: dict[str, Tensor]) -> Tensor:
        return torch.stack([g.sum() for g in grads.values()]).sum()

    name = broken(parts)
    real = testing.score

    def off(model: nn.Module, batch: Any, proxies: Any, **more: Any) -> dict[str, Score]:
        found = real(model, batch, proxies, **more)
        value = found[name].value + 1.0 * ("micro_batch" in more)
        return {**found, name: replace(found[name], value=value)}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(testing, "score", off)
        with pytest.raises(AssertionError, match=r"micro-batches give .*, the whole batch"):
            check_proxy(name, "plain")


def test_one_that_draws_without_saying_so_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    check_proxy("zen", "plain")
    monkeypatch.setitem(PROXIES, "zen", replace(PROXIES["zen"], draws=False))
    with pytest.raises(AssertionError, match=r"the value depends on the seed; .*draws=True"):
        check_proxy("zen", "plain")


@pytest.mark.parametrize(("value", "why"), [(float("nan"), None), (1.0, "no reason")])
def test_nan_without_a_reason_is_caught(
    value: float, why: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(testing, "score", lambda *_, **__: {"snip": Score(value, 0.0, why)})
    with pytest.raises(AssertionError, match="nan and a reason must go together"):
        check_proxy("snip", "plain")


def test_an_unknown_name_is_no_broken_law() -> None:
    with pytest.raises(ForetellError, match="did you mean 'snip'"):
        check_proxy("snipp")
