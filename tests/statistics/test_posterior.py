"""The coverage of the intervals and the calibration of the probabilities of a rank correlation."""

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy import stats

from foretell.errors import ForetellError
from foretell.statistics.posterior import (
    FEWEST,
    Measured,
    Posterior,
    Prior,
    posterior,
    prior_of,
    probability_ahead,
    trusted,
)
from foretell.statistics.representative import Weighted, measured, relative_ranks, weighted
from foretell.statistics.sample import Floats
from foretell.studies import spearman
from tests.statistics.test_intervals import DRAWS

Choose = Callable[[np.random.Generator, Floats, int], Any]

REPEATS = 400
POOL = 300
PRIORS = {"of tables": Prior(0.45, 0.4), "of nothing": Prior(0.3, 0.5), "wrong": Prior(-0.1, 0.35)}


def at_random(generator: np.random.Generator, ranks: Floats, k: int) -> Any:
    """k random networks of the pool."""
    return generator.choice(len(ranks), k, replace=False)


def spread(generator: np.random.Generator, ranks: Floats, k: int) -> Any:
    """One network from each of k equal parts of the pool, like the first trainings of a search."""
    return np.array([generator.choice(part) for part in np.array_split(np.argsort(ranks), k)])


def then_best(generator: np.random.Generator, ranks: Floats, k: int) -> Any:
    """A third spread over the pool, and the others from its best networks."""
    some = spread(generator, ranks, max(k // 3, 3))
    best = [place for place in np.argsort(ranks)[-4 * k :] if place not in some]
    return np.concatenate([some, generator.choice(best, k - len(some), replace=False)])


@cache
def true_rho(kind: str, r: float) -> float:
    """The rank correlation of a sample so large that its own error is negligible."""
    return float(spearman(*DRAWS[kind](np.random.default_rng(0), 100_000, r)))


def said(kind: str, rho: float, k: int, choose: Choose, prior: Prior) -> list[tuple[float, float]]:
    """The intervals for many pools, with k trained networks each."""
    generator, r = np.random.default_rng(k), 2 * math.sin(math.pi * rho / 6)
    found = []
    for _ in range(REPEATS):
        x, y = DRAWS[kind](generator, POOL, r)
        ranks = relative_ranks(x)
        chosen = choose(generator, ranks, k)
        by = weighted({"score": ranks}, chosen)
        found.append(trusted(prior, measured(ranks[chosen], y[chosen], by)))
    return found


def require_held(intervals: list[tuple[float, float]], true: float, about: str) -> None:
    """Fail unless 92 to 98 % of the intervals contain `true`, within the simulation's error."""
    printed = [one for one in intervals if not math.isnan(one[0])]
    if len(printed) < 50:  # hardly ever printed
        return
    low, high = stats.binom.ppf([0.002, 0.998], len(printed), [0.92, 0.98]) / len(printed)
    held = np.mean([one[0] <= true <= one[1] for one in printed])
    assert low <= held <= high, f"{about}: {held:.3f}"


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.6, 0.8])
@pytest.mark.parametrize("k", [3, 5, 10, 20, 50])
def test_the_interval_holds_as_often_as_it_says_whatever_the_prior(k: int, rho: float) -> None:
    for name, prior in PRIORS.items():
        require_held(said("copula", rho, k, at_random, prior), rho, name)


@pytest.mark.parametrize("rho", [0.0, 0.6])
@pytest.mark.parametrize("k", [5, 10, 20, 50])
@pytest.mark.parametrize("kind", ["uneven", "failures"])
def test_it_holds_with_failures_ties_and_uneven_noise(kind: str, k: int, rho: float) -> None:
    true = true_rho(kind, 2 * math.sin(math.pi * rho / 6))
    require_held(said(kind, rho, k, at_random, PRIORS["of tables"]), true, kind)


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.6, 0.8])
@pytest.mark.parametrize("k", [10, 20, 50])
def test_it_holds_if_the_best_are_trained_beside_a_spread(k: int, rho: float) -> None:
    """The interval may be too wide, since the weights make it depend on few networks, but not too
    narrow."""
    found = said("copula", rho, k, then_best, PRIORS["of tables"])
    printed = [one for one in found if not math.isnan(one[0])]
    assert k < 20 or len(printed) > REPEATS / 2
    least = stats.binom.ppf(0.002, max(len(printed), 1), 0.92) / max(len(printed), 1)
    assert np.mean([one[0] <= rho <= one[1] for one in printed] or [1]) >= least


@pytest.mark.parametrize("k", [5, 10, 20, 50])
def test_it_holds_if_the_trained_ones_are_spread_over_the_score(k: int) -> None:
    found = said("copula", 0.6, k, spread, PRIORS["of tables"])
    least = stats.binom.ppf(0.002, len(found), 0.92) / len(found)
    assert np.mean([one[0] <= 0.6 <= one[1] for one in found]) >= least


@pytest.mark.parametrize("k", [5, 10, 20, 50])
def test_nothing_is_said_of_the_pool_if_its_best_are_trained_alone(k: int) -> None:
    ranks = relative_ranks(np.random.default_rng(0).normal(size=POOL))
    best = np.argsort(ranks)[-k:]
    by = weighted({"score": ranks}, best)
    assert by.axis == "score"
    assert math.isnan(trusted(Prior(0.3, 0.4), measured(ranks[best], ranks[best], by))[0])


def test_a_random_draw_is_seldom_taken_for_a_selection() -> None:
    generator = np.random.default_rng(0)
    axes = {str(n): relative_ranks(generator.normal(size=POOL)) for n in range(10)}
    drawn = [weighted(axes, generator.choice(POOL, 10, replace=False)).axis for _ in range(500)]
    assert np.mean([axis != "" for axis in drawn]) < 0.1


def test_weights_cost_little_where_there_is_no_selection() -> None:
    generator = np.random.default_rng(0)
    axes = {str(n): relative_ranks(generator.normal(size=POOL)) for n in range(10)}
    for k in (20, 50):
        drawn = [weighted(axes, generator.choice(POOL, k, replace=False)) for _ in range(300)]
        assert np.mean([by.count if by.covered else 0.0 for by in drawn]) > 0.75 * k


def test_fewer_than_five_networks_have_no_interval() -> None:
    assert all(math.isnan(trusted(Prior(0, 1), Measured(1.0, k))[0]) for k in range(1, FEWEST))


@pytest.mark.parametrize("k", [0, 3, 5, 10, 20, 50])
def test_probabilities_are_as_often_true_as_they_say_for_tasks_of_the_prior(k: int) -> None:
    """The probability is that of ρ > 0.3, for tasks whose correlation is drawn from the prior."""
    generator, prior = np.random.default_rng(k), Prior(0.45, 0.4)
    told, true = [], []
    for _ in range(3000):
        rho = math.tanh(generator.normal(prior.mean, prior.sd))
        x, y = DRAWS["copula"](generator, max(k, 3), 2 * math.sin(math.pi * rho / 6))
        by = Weighted(np.full(k, 1 / max(k, 1)))
        found = posterior(prior, measured(x[:k], y[:k], by) if k else Measured(math.nan, 0))
        told.append(found.above(0.3))
        true.append(rho > 0.3)
    require_calibrated(np.array(told), np.array(true))


@pytest.mark.parametrize("k", [0, 5, 10, 20, 50])
def test_probabilities_that_one_score_beats_another_are_as_often_true_as_they_say(k: int) -> None:
    generator, alike = np.random.default_rng(k), 0.6
    priors = Prior(0.5, 0.3), Prior(0.4, 0.35)
    told, true = [], []
    while len(told) < 2000:
        z = generator.normal(size=2)
        z = np.array([z[0], alike * z[0] + math.sqrt(1 - alike**2) * z[1]])
        one, other = np.tanh([p.mean + p.sd * at for p, at in zip(priors, z, strict=True)])
        matrix = 2 * np.sin(
            np.pi / 6 * np.array([[1, alike, one], [alike, 1, other], [one, other, 1]])
        )
        if np.linalg.eigvalsh(matrix).min() < 0.01:  # no such scores exist
            continue
        x, w, y = generator.multivariate_normal(np.zeros(3), matrix, max(k, 3)).T
        by = Weighted(np.full(k, 1 / max(k, 1)))
        both = (measured(x[:k], y[:k], by), measured(w[:k], y[:k], by))
        told.append(probability_ahead(priors, both, alike))
        true.append(one > other)
    require_calibrated(np.array(told), np.array(true))


def require_calibrated(told: Floats, true: Any) -> None:
    """Fail unless, in each fifth of the range, the mean probability is the share that is true."""
    for low in (0.0, 0.2, 0.4, 0.6, 0.8):
        inside = (told >= low) & (told < low + 0.2 + (low == 0.8))
        if inside.sum() >= 100:
            error = 3 * math.sqrt(0.25 / inside.sum())
            assert abs(told[inside].mean() - true[inside].mean()) < 0.03 + error, low


def test_with_more_trainings_the_posterior_is_what_was_measured() -> None:
    found = posterior(Prior(-0.5, 0.3), Measured(0.6, 10_000))
    assert found.rho == pytest.approx(0.6, abs=0.01)
    assert posterior(Prior(0.2, 0.3), Measured(1.0, 3)) == Posterior(0.2, 0.3)


def test_each_space_counts_the_same_in_a_prior() -> None:
    few = prior_of({"a": [0.2], "b": [0.6]})
    many = prior_of({"a": [0.2] * 50, "b": [0.6]})
    assert many.mean == pytest.approx(few.mean)


def test_a_prior_is_normal() -> None:
    with pytest.raises(ForetellError, match=r"a prior has mean 0\.3 and sd 0\.0"):
        Prior(0.3, 0.0)


def test_a_correlation_that_is_undefined_decides_nothing() -> None:
    same = Prior(0.4, 0.3), Prior(0.4, 0.3)
    assert probability_ahead(same, (Measured(math.nan, 20), Measured(0.2, 20)), 0.5) == 0.5
