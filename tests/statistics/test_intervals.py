"""Intervals: their coverage, checked by simulation, and how they are computed."""

from collections.abc import Callable
from functools import cache, partial
from math import isnan
from typing import Any

import numpy as np
import pytest
from scipy import stats

from foretell.statistics.intervals import CORRELATION, Interval, interval
from foretell.statistics.sample import Floats
from foretell.studies import kendall, partial_spearman, spearman
from foretell.studies.table import SCALES, STATISTICS
from tests.support.draws import copula

Draw = Callable[[np.random.Generator, int, float], tuple[Floats, Floats]]


def uneven(generator: np.random.Generator, n: int, rho: float) -> tuple[Floats, Floats]:
    """Scores that are more informative about good networks than about bad ones."""
    x, noise = generator.normal(size=(2, n))
    return x, rho * x + (1 - rho**2) ** 0.5 * noise * np.exp(-0.5 * x)


def with_failures(generator: np.random.Generator, n: int, rho: float) -> tuple[Floats, Floats]:
    """Three in ten networks do not learn, whatever their score; scores are rounded."""
    x, y = copula(generator, n, rho)
    failed = generator.random(n) < 0.3
    return np.round(4 * x) / 4, np.where(failed, -3 + generator.normal(size=n), y)


DRAWS: dict[str, Draw] = {"copula": copula, "uneven": uneven, "failures": with_failures}
REPEATS = 300


@cache
def on_the_population(name: str, kind: str, rho: float) -> float:
    """The statistic of a sample so large that its own error is negligible."""
    x, y = DRAWS[kind](np.random.default_rng(0), 100_000, rho)
    return float(STATISTICS[name](x, y))


def held(name: str, kind: str, n: int, rho: float, repeats: int = REPEATS) -> float:
    """The share of intervals that contain the population value."""
    generator, true = np.random.default_rng(n), on_the_population(name, kind, rho)
    found = [
        interval(STATISTICS[name], *DRAWS[kind](generator, n, rho), scale=SCALES[name], seed=seed)
        for seed in range(repeats)
    ]
    return float(np.mean([one.low <= true <= one.high for one in found]))


CASES = [
    *((name, n) for name in ("spearman", "kendall") for n in (20, 60, 100)),
    ("spearman", 1000),
    ("pairwise_accuracy", 60),
    ("spearman_in_top", 200),
    ("spearman_in_top", 1000),
    ("kendall_in_top", 200),
    ("top_overlap", 1000),
]


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.8])
@pytest.mark.parametrize(("name", "n"), CASES)
def test_the_interval_holds_as_often_as_it_says(name: str, n: int, rho: float) -> None:
    """The coverage is 92 to 98 %, within the error of a simulation with 300 repeats."""
    repeats = REPEATS if n < 1000 else REPEATS // 3
    for kind in DRAWS if n < 1000 else ["copula"]:
        low, high = stats.binom.ppf([0.002, 0.998], repeats, [0.92, 0.98]) / repeats
        assert low <= held(name, kind, n, rho, repeats) <= high, kind


def test_every_number_with_an_interval_is_simulated_here() -> None:
    """Each is simulated, or derived from one that is; the partial correlation has its own test."""
    partial_ones = {"partial_spearman", "partial_spearman_flops"}
    assert {name for name, _ in CASES} | partial_ones == set(SCALES)


def test_the_interval_of_a_partial_correlation_holds() -> None:
    """Scores and truth have nothing in common but size."""
    generator, right = np.random.default_rng(4), 0
    for _ in range(REPEATS):
        size, x, y = generator.normal(size=(3, 60))
        found = interval(partial(partial_spearman, given=size), size + x, size + y)
        right += found.low <= 0.0 <= found.high
    assert 0.9 <= right / REPEATS <= 0.99


def test_the_interval_is_that_of_leaving_out_one_network_after_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It agrees with a simple loop, however many groups are processed at a time."""
    scores, truth = copula(np.random.default_rng(2), 30, 0.5)
    found = interval(kendall, scores, truth)
    without = np.arctanh(
        [stats.kendalltau(np.delete(scores, i), np.delete(truth, i))[0] for i in range(30)]
    )
    value = stats.kendalltau(scores, truth)[0]
    half = stats.t.ppf(0.975, 29) * np.sqrt(29 / 30 * ((without - without.mean()) ** 2).sum())
    expected = np.tanh([np.arctanh(value) - half, np.arctanh(value) + half])
    assert (found.low, found.high) == pytest.approx(tuple(expected))
    assert (found.value, found.n) == (kendall(scores, truth), 30)
    monkeypatch.setattr("foretell.statistics.intervals.CELLS", 100)
    assert interval(kendall, scores, truth) == found
    narrow = interval(kendall, scores, truth, level=0.5)
    assert found.low < narrow.low < narrow.high < found.high


def test_many_networks_are_dealt_into_groups_by_the_seed() -> None:
    """There are two hundred groups of nearly equal size, and another seed gives other groups."""
    scores, truth = copula(np.random.default_rng(2), 450, 0.5)
    assert interval(spearman, scores, truth) == interval(spearman, scores, truth)
    assert interval(spearman, scores, truth, seed=1) != interval(spearman, scores, truth)


def test_no_interval_has_width_zero() -> None:
    """An interval has a width even if the score is perfect, and it contains the value."""
    for truth in (range(40), range(40, 0, -1)):
        found = interval(spearman, range(40), truth)
        assert found.low <= found.value <= found.high
        assert found.high - found.low > 0.03
        assert abs(found.value) == 1


@pytest.mark.parametrize(("scores", "truth"), [([1.0] * 12, range(12)), ([*range(9)], [*range(9)])])
def test_where_none_is_known_there_is_no_interval(scores: Any, truth: Any) -> None:
    """There is no interval if the statistic is undefined or there are too few networks."""
    found = interval(spearman, scores, truth, scale=CORRELATION)
    assert isnan(found.low)
    assert isnan(found.high)


def test_an_interval_prints_its_signs() -> None:
    """The text is what a table shows."""
    assert str(Interval(-0.1, -0.25, 0.5, 9)) == "-0.100 [-0.250, +0.500]"
