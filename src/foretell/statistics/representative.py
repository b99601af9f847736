"""Estimate rank correlations in a pool from those of its networks that are trained.

The trained networks are often the best by some score. Among them, every correlation is smaller than
in the pool, and no formula recovers the correlation in the pool: the classical corrections for
range restriction assume that scores rank the top of the pool as well as its middle. On published
benchmarks they do not, and the intervals of these corrections did not reach their nominal coverage.
The estimate therefore depends on where in the pool the trained networks are:

- If they are spread over the range of every score, like a random draw, they have equal weights.
- If they are concentrated, but some are in every part of the range, each part is weighted by its
  share of the pool, and the result is worth fewer networks than were trained.
- If a part of the range has none, nothing can be concluded about the pool.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from foretell.statistics.posterior import Measured
from foretell.statistics.sample import Floats, Groups

__all__ = ["Weighted", "measured", "relative_ranks", "weighted"]

UNEVEN = {20: 0.347, 0: 0.869}
"""The Cramér-von Mises statistic above which networks count as selected, by the least number of
trained networks that it applies to. Random draws exceed the first in 10 % of cases and the second
in 0.5 % (Anderson and Darling 1952, Annals of Mathematical Statistics 23(2)). With many networks, a
slight selection does more harm than weights do."""

MOST_PARTS, FEWEST_PARTS, IN_EACH = 10, 3, 4
"""A range is divided into three to ten parts, with four trained networks in each on average; fewer
than three parts would not show a spread."""


@dataclass(frozen=True, eq=False)
class Weighted:
    """The weights of the trained networks."""

    weights: Floats
    """The weight of each trained network; the sum is 1."""
    axis: str = ""
    """The score by which the trained networks were selected; empty if they are like a random
    draw."""
    covered: bool = True
    """Whether the trained networks cover the range of this score."""

    @property
    def count(self) -> float:
        """The equivalent number of networks with equal weights: 1 / Σ w²."""
        return round(float(1 / (self.weights**2).sum()), 9) if len(self.weights) else 0.0


def relative_ranks(values: Floats) -> Floats:
    """The rank of each value divided by the number of values: from 0, the lowest, to 1.

    Equal values share their mean rank; undefined values are the lowest.

    >>> relative_ranks(np.array([3.0, np.nan, 3.0, 1.0])).tolist()
    [0.75, 0.125, 0.75, 0.375]
    """
    return midpoints(np.where(np.isnan(values), -np.inf, values), np.ones(len(values)))


def midpoints(values: Floats, weights: Floats) -> Floats:
    """The share of the weight below each value, plus half the share of the values equal to it."""
    _, group = np.unique(values, return_inverse=True)
    group = group.reshape(-1)
    each = np.bincount(group, weights)
    places = (np.cumsum(each) - each / 2)[group]
    return np.asarray(places / weights.sum(), dtype=np.float64)


def weighted(axes: Mapping[str, Floats], trained: Groups) -> Weighted:
    """The weights of the trained networks; `axes` are the relative ranks of the whole pool.

    The range of the score by which the trained networks are most uneven is divided into equal
    parts: as many as possible, up to `MOST_PARTS`, such that each contains a trained network.

    >>> ranks = {"flops": np.linspace(0.005, 0.995, 100)}
    >>> weighted(ranks, np.array([5, 35, 60, 90])).axis
    ''
    >>> best = weighted(ranks, np.arange(80, 100))
    >>> best.axis, best.covered
    ('flops', False)
    """
    even = np.full(len(trained), 1 / max(len(trained), 1))
    found = {name: unevenness(ranks[trained]) for name, ranks in axes.items()}
    worst = max(found, key=lambda name: found[name], default="")
    limit = next(most for least, most in UNEVEN.items() if len(trained) >= least)
    if not len(trained) or not worst or found[worst] <= limit:
        return Weighted(even)
    most = min(max(len(trained) // IN_EACH, FEWEST_PARTS), MOST_PARTS)
    for parts in range(most, FEWEST_PARTS - 1, -1):
        part = np.minimum((axes[worst][trained] * parts).astype(int), parts - 1)
        sizes = np.bincount(part, minlength=parts)
        if sizes.all():
            return Weighted(1 / parts / sizes[part], worst)
    return Weighted(even, worst, covered=False)


def unevenness(ranks: Floats) -> float:
    """The Cramér-von Mises distance of relative ranks from a uniform distribution."""
    k = len(ranks)
    middle = (2 * np.arange(1, k + 1) - 1) / (2 * k) if k else np.zeros(0)
    return float(1 / (12 * max(k, 1)) + ((np.sort(ranks) - middle) ** 2).sum())


def measured(scores: Floats, truth: Floats, by: Weighted) -> Measured:
    """The weighted rank correlation of trained networks and the equivalent number of networks.

    `scores` are the relative ranks of the trained networks in the pool, or their scores. With equal
    weights, the correlation is Spearman's.

    >>> measured(np.array([1.0, 2, 3, 4]), np.array([1.0, 3, 2, 4]), Weighted(np.full(4, 0.25)))
    Measured(r=0.8, count=4.0)
    """
    if not by.covered or not len(scores):
        return Measured(float("nan"), 0.0)
    x, y = (midpoints(values, by.weights) for values in (scores, truth))
    x, y = (values - by.weights @ values for values in (x, y))
    scale = np.sqrt((by.weights @ x**2) * (by.weights @ y**2))
    r = float(by.weights @ (x * y) / scale) if scale > 1e-12 else float("nan")
    return Measured(round(min(max(r, -1.0), 1.0), 12), by.count)
