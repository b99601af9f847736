"""The laws of proxies: ours obey them, and each is broken by some proxy that is caught."""

from collections.abc import Iterator

import pytest
from torch import Tensor

from foretell.proxies import PROXIES, register
from foretell.testing.proxies import MODELS, check_proxy


@pytest.fixture(autouse=True)
def registry_as_it_was() -> Iterator[None]:
    """Whatever a test registers is forgotten."""
    before = dict(PROXIES)
    yield
    PROXIES.clear()
    PROXIES.update(before)


def test_the_conformance_suite_finds_a_proxy_that_breaks_the_laws() -> None:
    """One that remembers how often it was called."""
    calls: list[int] = []

    @register(source="a test")
    def forgetful(weights: dict[str, Tensor]) -> float:
        """Another number each time."""
        calls.append(1)
        return float(len(calls))

    with pytest.raises(AssertionError):
        check_proxy("forgetful", "plain")


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", list(PROXIES))
def test_own_proxies_pass_the_suite(name: str, model: str) -> None:
    check_proxy(name, model)
