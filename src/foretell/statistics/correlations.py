"""Measure how well a score ranks networks: signed rank correlations and pairwise accuracies.

Each function takes `scores` and `truth`, one value per network, where higher is better; negate a
score for which lower is better first. No absolute values are taken: a score that ranks in the wrong
direction has a negative correlation. An undefined score (nan) is ranked last, equal to minus
infinity; networks with undefined truth are left out.

An undefined statistic is nan, and `why_undefined` gives the reason. The last argument, `sample`,
says how often each network is included, in one or many draws; by default, once. For many draws, the
result is an array with one value per draw.
"""

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from foretell.statistics.pairs import exact, orders_of
from foretell.statistics.sample import (
    Floats,
    Number,
    Ranked,
    Sample,
    enough,
    numbers,
    prepared,
    ratio,
)

__all__ = [
    "Statistic",
    "kendall",
    "majority_accuracy",
    "pairwise_accuracy",
    "partial_spearman",
    "spearman",
    "spearman_within",
    "why_undefined",
]

FEWEST = 3
"""The fewest networks for which a correlation is defined: two points always correlate perfectly."""


class Statistic(Protocol):
    """The signature of a statistic: a function of scores and truth."""

    def __call__(
        self, scores: ArrayLike, truth: ArrayLike, /, *, sample: Sample | None = None
    ) -> Number:
        """The statistic, or one value for each draw of the sample."""


def spearman(scores: ArrayLike, truth: ArrayLike, *, sample: Sample | None = None) -> Number:
    """Spearman's ρ: the correlation of the ranks, from −1 (reverse order) to 1 (same order).

    Equal values share their mean rank. nan for fewer than three networks, or if all scores or all
    truths are equal.

    >>> float(spearman([1, 2, 3, 4], [10, 30, 20, 40]))
    0.8
    >>> float(spearman([-1, -2, -3, -4], [10, 30, 20, 40]))  # reverse order is negative
    -0.8
    """
    x, y, sample = prepared(scores, truth, sample)
    return enough(correlation(sample.ranked(x), sample.ranked(y)), sample, FEWEST)


def kendall(scores: ArrayLike, truth: ArrayLike, *, sample: Sample | None = None) -> Number:
    """Kendall's τ-b: (concordant − discordant pairs) / √(pairs untied in scores · in truth).

    From −1 to 1; nan as in `spearman`. Kendall 1945, Biometrika 33(3).

    >>> round(float(kendall([1, 2, 3, 4], [10, 30, 20, 40])), 4)
    0.6667
    """
    x, y, sample = prepared(scores, truth, sample)
    found = sample.remembered(orders_of, x, y)
    scale = np.sqrt(found.x_apart * found.y_apart)
    return enough(ratio(2 * found.alike - found.both_apart, scale), sample, FEWEST)


def pairwise_accuracy(
    scores: ArrayLike, truth: ArrayLike, *, sample: Sample | None = None
) -> Number:
    """The share of the pairs with different truth that the score orders correctly.

    Equal scores count half. From 0 to 1; 0.5 for a random score; without ties it is (τ + 1) / 2.
    The code of arXiv:2101.08134 computes this for its vote, and shows it on an axis of Spearman's
    ρ.

    >>> round(float(pairwise_accuracy([1, 2, 3, 4], [10, 30, 20, 40])), 4)
    0.8333
    """
    x, y, sample = prepared(scores, truth, sample)
    found = sample.remembered(orders_of, x, y)
    return ratio(found.alike + (found.y_apart - found.both_apart) / 2, found.y_apart)


def partial_spearman(
    scores: ArrayLike, truth: ArrayLike, given: ArrayLike, *, sample: Sample | None = None
) -> Number:
    """The partial Spearman's ρ of scores and truth given `given`, such as the number of parameters.

    (ρ_st − ρ_sg ρ_tg) / √((1 − ρ_sg²)(1 − ρ_tg²)): near 0 for a score that contains no more
    information than `given`. nan also if scores or truth have exactly the ranks of `given`.

    >>> score, size = [2, 1, 4, 3], [1, 2, 3, 4]
    >>> round(float(partial_spearman(score, [2, 1, 4, 3], size)), 4)
    1.0
    >>> float(partial_spearman(size, [2, 1, 4, 3], size))
    nan
    """
    x, y, sample = prepared(scores, truth, sample)
    s, t, g = (sample.ranked(v) for v in (x, y, numbers(given)))
    st, sg, tg = correlation(s, t), correlation(s, g), correlation(t, g)
    left = (1 - sg**2) * (1 - tg**2)
    return enough(ratio(st - sg * tg, np.sqrt(np.where(left > 1e-12, left, 0))), sample, FEWEST)


def spearman_within(
    scores: ArrayLike, truth: ArrayLike, stratum: ArrayLike, *, sample: Sample | None = None
) -> Number:
    """The mean of Spearman's ρ within strata, such as networks of about equal size.

    `stratum` has the number of the stratum of each network. Each stratum counts by its number of
    networks; those in which ρ is undefined are left out. nan if it is undefined in all.

    >>> float(spearman_within([1, 2, 3, 6, 5, 4], [1, 2, 3, 4, 5, 6], [1, 1, 1, 2, 2, 2]))
    0.0
    """
    x, y, sample = prepared(scores, truth, sample)
    labels, total, weight = numbers(stratum), np.zeros(()), np.zeros(())
    for label in np.unique(labels):
        inside = labels == label
        part = Sample(sample.counts[inside])
        rho = np.asarray(spearman(x[inside], y[inside], sample=part))
        known = ~np.isnan(rho)
        total = total + np.where(known, rho, 0) * part.size * known
        weight = weight + part.size * known
    return ratio(total, weight)


def majority_accuracy(
    ballots: ArrayLike, truth: ArrayLike, *, sample: Sample | None = None
) -> Number:
    """The share of the pairs with different truth that the majority of columns orders correctly.

    `ballots` has shape [networks, scores]. A pair without a majority counts half. This is how the
    code of arXiv:2101.08134 evaluates its vote; the published 0.82 is this share, not a
    correlation.

    >>> ballots = [[1, 3, 5], [2, 1, 6], [3, 2, 4]]  # the second beats the first, and so on
    >>> round(float(majority_accuracy(ballots, [1, 2, 3])), 4)
    0.6667
    """
    columns = numbers(ballots)
    columns = np.where(np.isnan(columns), -np.inf, columns)
    x, y, sample = prepared(columns[:, 0], truth, sample)
    order = np.argsort(y, kind="stable")
    columns, target, counts = columns[order].T.copy(), y[order], exact(sample.counts[order])
    right = np.zeros(counts.shape[1:])
    for start in range(0, len(y), 256):  # all pairs, in blocks to limit memory
        rows, upto = slice(start, start + 256), slice(start + 256)
        voted = majority(columns[:, rows, None], columns[:, None, upto])
        voted *= target[rows, None] > target[None, upto]
        found = voted.astype(counts.dtype) @ counts[upto]
        found *= counts[rows]
        right += found.sum(axis=0, dtype=np.float64) / 2
    return ratio(right, sample.remembered(orders_of, x, y).y_apart)


def why_undefined(scores: ArrayLike, truth: ArrayLike) -> str:
    """The reason why the rank correlation is undefined; empty if it is defined.

    >>> why_undefined([7, 7, 7], [1, 2, 3])
    'the score is the same for every network'
    """
    x, y, _ = prepared(scores, truth, None)
    x, y = x[~np.isnan(y)], y[~np.isnan(y)]
    if len(y) < FEWEST:
        return f"fewer than {FEWEST} networks have a defined truth"
    if np.isnan(x).all():
        return "the score is undefined for every network"
    if (x == x[0]).all():
        return "the score is the same for every network"
    return "the truth is the same for every network" if (y == y[0]).all() else ""


def majority(first: Floats, second: Floats) -> NDArray[np.int16]:
    """2 where most scores (first axis) prefer `first`, 0 where most prefer `second`, else 1."""
    shape = np.broadcast_shapes(first.shape, second.shape)[1:]
    ahead, behind = np.zeros(shape, dtype=np.int16), np.zeros(shape, dtype=np.int16)
    for one, other in zip(first, second, strict=True):
        ahead += one > other
        behind += one < other
    found = (2 * ahead > len(first)).astype(np.int16)
    found += 1
    found -= 2 * behind > len(first)
    return found


def correlation(x: Ranked, y: Ranked) -> Floats:
    """Pearson's correlation of the ranks; nan if one of them is constant."""
    return ratio(product(x, y), np.sqrt(product(x, x) * product(y, y)))


def product(x: Ranked, y: Ranked) -> Floats:
    """The sum of the products of centred ranks, each weighted by its count."""
    return np.asarray(np.einsum("n...,n...,n...->...", x.sample.counts, x.ranks, y.ranks))
