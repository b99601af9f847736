"""A single score: its seconds, and what a proxy must return."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from foretell.engine.plan import make_plan
from foretell.engine.subject import Unavailable
from foretell.proxies import PROXIES, Proxy
from foretell.scoring import score as scoring
from foretell.scoring.score import one_score

WEIGHTS = {"a": torch.tensor([1.0, -2.0])}
GRADS = {"a": torch.tensor([3.0, 4.0])}


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that advances by half a second each time it is read."""
    clock = itertools.count(100, 0.5)
    monkeypatch.setattr(scoring.time, "perf_counter", lambda: next(clock))


@pytest.mark.usefixtures("ticking")
def test_seconds_are_those_of_the_steps_it_needs_and_of_its_own_sum() -> None:
    plan = make_plan(["snip", "jacob_cov"])
    seconds = {"forward": 4.0, "backward": 8.0, "jacobian": 16.0, "read": 32.0, "codes": 64.0}
    one = one_score(plan, PROXIES["snip"], {"weights": WEIGHTS, "grads": GRADS}, seconds)
    steps = plan.steps_of(PROXIES["snip"])
    assert {"forward", "backward"} <= set(steps)
    assert "jacobian" not in steps
    assert one.seconds == 0.5 + sum(seconds[step] for step in steps)
    assert one.value == 11.0


@pytest.mark.usefixtures("ticking")
def test_a_score_that_is_undefined_has_seconds_too() -> None:
    found = {"weights": WEIGHTS, "grads": Unavailable("no gradient")}
    one = one_score(make_plan("snip"), PROXIES["snip"], found, {"backward": 8.0})
    assert (one.seconds, one.why) == (8.5, "no gradient")
    assert math.isnan(one.value)


@pytest.mark.parametrize(
    ("returned", "value", "why"),
    [
        (torch.tensor([2.0]), 2.0, None),
        (3, 3.0, None),
        (torch.tensor(math.nan), math.nan, "the score is nan"),
        (torch.tensor(math.inf), math.nan, "the score is infinite"),
        (-math.inf, math.nan, "the score is infinite"),
        (torch.tensor([1.0, 2.0]), math.nan, "shape [2]; expected a single number"),
    ],
)
def test_what_a_proxy_returns_is_one_finite_number(
    returned: Tensor | float, value: float, why: str | None
) -> None:
    def own(weights: dict[str, Tensor]) -> Tensor | float:
        """A number."""
        return returned

    one = one_score(make_plan("snip"), Proxy(own, "here"), {"weights": WEIGHTS}, {})  # type: ignore[arg-type]
    assert one.value == pytest.approx(value, nan_ok=True)
    assert one.why is None if why is None else why in str(one.why)
