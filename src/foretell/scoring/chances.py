"""Which candidates cannot be among the best, from a first score that is cheaper than the full one.

All candidates have the first score, and a random sample of them, the pilot, has the full one as
well. Two estimates of the chance of each other candidate to be among the best of the full ranking
are combined, and the larger one counts:

- `by_correlation`: both scores are made normal, and the correlation of the two is taken at the
  lower end of its confidence interval, so that a pilot that agrees by luck does not leave out too
  many.
- `by_success`: a probit regression of being among the best on the first score, over all candidates
  whose full score is known. It needs no assumption about how the scores are related away from the
  best, where a correlation over the whole pool can be far too favourable.

The sum of the chances of all candidates that are left out is the number of the best that are
expected to be lost.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_ndtr, ndtr, ndtri
from scipy.stats import rankdata

__all__ = ["PILOT", "Selected", "select"]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

PILOT = 40
"""The number of candidates in the pilot."""

LOST = 0.05
"""The share of the best that may be lost, in expectation."""

CONFIDENCE = 0.95
"""The confidence that the correlation is not below the one that is used."""

STEEPEST = 50.0
"""The largest slope of the regression, for candidates that the first score separates perfectly."""

PORTION, FEWEST = 0.25, 10
"""After the first portion, at most a quarter as many candidates as are known, or ten if that is
more, are scored before the chances are estimated again."""


@dataclass(frozen=True)
class Selected:
    """Which candidates are scored in full, and what is known about the others."""

    scored: Mask
    chances: Floats
    """The estimated chance of each candidate to be among the best."""
    correlation: float
    """What the correlation of the first and the full score is at least, with 95 % confidence."""


def select(first: Floats, pilot: Mask, best: int, full: Callable[[Mask], Floats]) -> Selected:
    """Have candidates scored in full until those that are left out can hardly be among the best.

    `full` is called with the candidates to be known and returns the full scores, of which only
    theirs are read. Higher is better. Candidates without a first score (nan) are scored in full.

    >>> values = np.random.default_rng(0).permutation(200).astype(float)
    >>> selected = select(values, np.arange(200) < 40, 5, lambda known: values)
    >>> int(selected.scored.sum()), bool(selected.scored[values >= 195].all())
    (46, True)
    """
    known = pilot | np.isnan(first)
    first, result = np.where(np.isnan(first), -np.inf, first), full(known)
    correlation = lower_correlation(first[pilot], result[pilot])
    least = chances = by_correlation(first, best, correlation)
    more = to_score(chances, known, best, at_most=len(first))
    while more.any():
        known = known | more
        chances = np.maximum(least, by_success(first, known, full(known), best))
        portion = max(FEWEST, int(PORTION * known.sum()))
        more = to_score(chances, known, best, at_most=portion)
    return Selected(known, chances, correlation)


def normal(values: Floats) -> Floats:
    """The values as those of a normal distribution in the same order; equal ones stay equal.

    >>> normal(np.array([5.0, 1.0, 9.0])).round(2).tolist()
    [0.0, -0.97, 0.97]
    """
    return np.asarray(ndtri((rankdata(values) - 0.5) / len(values)))


def lower_correlation(first: Floats, full: Floats) -> float:
    """The lower end of the confidence interval of the correlation, by Fisher's z; at least 0.

    Both scores are made normal before. 0 if a score is the same for all, or for fewer than four.

    >>> same, other = np.arange(40.0), np.arange(40.0) % 8
    >>> round(lower_correlation(same, same), 3), round(lower_correlation(same, other), 3)
    (1.0, 0.0)
    """
    if len(first) < 4 or np.ptp(first) == 0 or np.ptp(full) == 0:
        return 0.0
    r = np.clip(np.corrcoef(normal(first), normal(full))[0, 1], -1, 1 - 1e-12)
    if r <= 0:
        return 0.0
    return max(0.0, float(np.tanh(np.arctanh(r) - ndtri(CONFIDENCE) / np.sqrt(len(first) - 3))))


def by_correlation(first: Floats, best: int, correlation: float) -> Floats:
    """The chance of each candidate to be among the `best` of all, for this correlation.

    P(full > t | first), where both are normal with this correlation, and t is exceeded by the share
    of the best.

    >>> by_correlation(np.arange(5.0), 1, 0.5).round(2).tolist()
    [0.04, 0.1, 0.17, 0.25, 0.41]
    """
    threshold = ndtri(1 - best / len(first))
    spread = np.sqrt(max(1 - correlation**2, 1e-12))
    return np.asarray(ndtr((correlation * normal(first) - threshold) / spread))


def by_success(first: Floats, known: Mask, full: Floats, best: int) -> Floats:
    """The chance of each candidate to be among the `best`, learnt from those with a known full
    score: Φ(a + b·first) by maximum likelihood, with the first score made normal and b ≥ 0.

    The best are those of the known ones, so the chances are too high rather than too low.

    >>> first, known = np.arange(8.0), np.arange(8) >= 4
    >>> full = np.array([0, 0, 0, 0, 3.0, 4.0, 6.0, 5.0])
    >>> by_success(first, known, full, 2).round(1).tolist()
    [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0]
    """
    x, y = normal(first), full[known]
    sign = np.where(rankdata(-y, method="min") <= best, 1.0, -1.0)

    def surprise(at: Floats) -> tuple[float, Floats]:
        z = sign * (at[0] + at[1] * x[known])
        log = log_ndtr(z)
        slope = -sign * np.exp(-(z**2) / 2 - log) / np.sqrt(2 * np.pi)
        return -float(log.sum()), np.array([slope.sum(), slope @ x[known]])

    found = minimize(surprise, [0.0, 1.0], jac=True, bounds=[(None, None), (0.0, STEEPEST)])
    return np.asarray(ndtr(found.x[0] + found.x[1] * x))


def to_score(chances: Floats, known: Mask, best: int, at_most: int) -> Mask:
    """The candidates to score next, at most so many; none if all others can be left out.

    Those with the lowest chances can be left out if these add up to at most 5 % of the best.
    Candidates with the same chance are treated alike.

    >>> chances, known = np.array([0.9, 0.02, 0.02, 0.02, 0.01]), np.arange(5) == 0
    >>> to_score(chances, known, 1, at_most=5).tolist()
    [False, True, True, True, False]
    """
    values, counts = np.unique(chances[~known], return_counts=True)
    out = int(np.searchsorted(np.cumsum(values * counts), LOST * best, side="right"))
    if out == len(values):
        return np.zeros(len(known), dtype=bool)
    promising = np.sort(chances[~known & (chances >= values[out])])
    return np.asarray(~known & (chances >= promising[-at_most:][0]))
