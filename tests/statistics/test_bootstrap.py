"""Bootstrap intervals: what they hold, and that all ways of drawing them agree."""

from math import asin, isnan, pi
from typing import Any

import numpy as np
import pytest
from scipy import stats

from foretell.studies import (
    Interval,
    bootstrap,
    kendall,
    spearman,
)
from tests.support.draws import copula


@pytest.mark.parametrize(
    ("statistic", "true"),
    [(spearman, 6 / pi * asin(0.6 / 2)), (kendall, 2 / pi * asin(0.6))],
)
def test_the_interval_holds_the_truth_as_often_as_it_says(statistic: Any, true: float) -> None:
    """About 95 of 100 times for a Gaussian copula, whose ρ and τ are known."""
    generator = np.random.default_rng(5)
    held = 0
    for seed in range(100):
        found = bootstrap(statistic, *copula(generator, 80, 0.6), resamples=200, seed=seed)
        held += found.low <= true <= found.high
    assert 88 <= held <= 100


def test_the_interval_is_that_of_drawing_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a loop over the same draws; the same however many are worked on at a time."""
    scores, truth = copula(np.random.default_rng(2), 30, 0.5)
    found = bootstrap(kendall, scores, truth, resamples=50, seed=7)
    drawn = np.random.default_rng(7).integers(30, size=(50, 30))
    values = [stats.kendalltau(scores[row], truth[row])[0] for row in drawn]
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])))
    assert (found.value, found.n) == (kendall(scores, truth), 30)
    monkeypatch.setattr("foretell.statistics.bootstrap.CELLS", 100)
    assert bootstrap(kendall, scores, truth, resamples=50, seed=7) == found
    assert bootstrap(kendall, scores, truth, resamples=50, seed=8) != found
    narrow = bootstrap(kendall, scores, truth, resamples=50, seed=7, level=0.5)
    assert found.low < narrow.low < narrow.high < found.high


def test_a_statistic_that_never_exists_has_no_interval() -> None:
    """Nor does it crash."""
    found = bootstrap(spearman, [1, 1, 1, 1], [1, 2, 3, 4], resamples=20)
    assert all(isnan(end) for end in (found.value, found.low, found.high))
    assert str(Interval(-0.1, -0.25, 0.5, 9)) == "-0.100 [-0.250, +0.500]"
