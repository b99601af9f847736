"""Pairs of networks, counted in blocks and exactly."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from foretell.statistics.pairs import exact, orders_of
from foretell.statistics.sample import Sample
from foretell.studies import (
    kendall,
    spearman,
)
from tests.support.draws import copula


@pytest.mark.parametrize("digits", [1, 9])
@pytest.mark.parametrize("statistic", [kendall, spearman])
def test_many_networks_are_counted_in_blocks(statistic: Any, digits: int) -> None:
    """The blocks agree with a direct count for many and few ties, and several draws."""
    generator = np.random.default_rng(3)
    scores, truth = (column.round(digits) for column in copula(generator, 1_100, 0.4))
    counts = generator.integers(4, size=(1_100, 3))
    together = statistic(scores, truth, sample=Sample(counts.astype(float)))
    scipys = {kendall: stats.kendalltau, spearman: stats.spearmanr}[statistic]
    for draw, times in enumerate(counts.T):
        expected = scipys(np.repeat(scores, times), np.repeat(truth, times))[0]
        assert together[draw] == pytest.approx(expected)


def test_counts_too_large_for_short_numbers_stay_exact() -> None:
    """Sums of products beyond 2²⁴ are not rounded."""
    counts = np.array([3e5, 5e5, 7e5, 1.0])
    orders = orders_of(Sample(counts), np.array([1.0, 2, 3, 4]), np.array([1.0, 2, 3, 4]))
    expected = 3e5 * 5e5 + 3e5 * 7e5 + 5e5 * 7e5 + 3e5 + 5e5 + 7e5
    assert orders.alike == expected


def test_short_numbers_are_used_if_they_represent_every_sum() -> None:
    """float32 represents integers and their halves exactly below 2²³."""
    below, at = np.array([2.0**11, 2.0**11 - 1]), np.array([2.0**11, 2.0**11])
    assert exact(below).dtype == np.float32
    assert exact(at).dtype == np.float64
    for counts in (below, at, at + 1):
        orders = orders_of(Sample(counts), np.array([1.0, 2.0]), np.array([1.0, 2.0]))
        assert orders.alike == counts[0] * counts[1]
