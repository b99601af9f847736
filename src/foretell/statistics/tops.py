"""Measure how well a score finds the best networks, which is what matters for a search.

The conventions are those of `foretell.statistics.correlations`: higher is better, undefined scores
are ranked last, and undefined statistics are nan. If a cut-off separates equal values, the result
is the mean over all ways to break the tie, so that it does not depend on the order of the rows.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaln

from foretell.errors import ForetellError
from foretell.statistics.correlations import Statistic
from foretell.statistics.sample import Floats, Number, Sample, enough, prepared, running

__all__ = [
    "best_in_top",
    "ndcg_at",
    "precision_at",
    "regret",
    "regret_of_first",
    "top_overlap",
    "within_top",
]


def within_top(
    statistic: Statistic,
    scores: ArrayLike,
    truth: ArrayLike,
    share: float = 0.1,
    *,
    sample: Sample | None = None,
) -> Number:
    """The statistic computed only on the networks in the best `share` by truth.

    Networks tied with the last one are included. A search ends up among these networks, and scores
    that are good on the whole space often fail there.

    >>> from foretell.studies import spearman
    >>> scores, truth = [1, 2, 3, 6, 5, 4], [1, 2, 3, 4, 5, 6]
    >>> float(within_top(spearman, scores, truth, share=0.5))
    -1.0
    """
    x, y, sample = prepared(scores, truth, sample)
    top = np.where(sample.ranked(y).higher < share_of(sample, share), sample.counts, 0)
    there = top.any(axis=tuple(range(1, top.ndim)))
    return statistic(x[there], y[there], sample=Sample(top[there]))


def top_overlap(
    scores: ArrayLike, truth: ArrayLike, share: float = 0.1, *, sample: Sample | None = None
) -> Number:
    """The fraction of the best `share` by score that is in the best `share` by truth.

    From 0 to 1; a random order gives `share`.

    >>> float(top_overlap([4, 3, 2, 1], [4, 1, 3, 2], share=0.5))
    0.5
    """
    x, y, sample = prepared(scores, truth, sample)
    best = share_of(sample, share)
    return enough(in_both(x, y, sample, best, best) / best, sample, 1)


def best_in_top(
    scores: ArrayLike,
    truth: ArrayLike,
    best: int = 64,
    share: float = 0.05,
    *,
    sample: Sample | None = None,
) -> Number:
    """How many of the `best` networks by score are in the best `share` by truth.

    From 0 to `best`; a random order gives `best` · `share`. It describes the networks with which a
    search starts after a warmup. nan for fewer than `best` networks.

    >>> float(best_in_top([4, 3, 2, 1], [4, 1, 3, 2], best=3, share=0.5))
    2.0
    """
    x, y, sample = prepared(scores, truth, sample)
    held = in_both(x, y, sample, at_least_one(best), share_of(sample, share))
    return enough(held, sample, best)


def precision_at(
    scores: ArrayLike, truth: ArrayLike, k: int, *, sample: Sample | None = None
) -> Number:
    """The fraction of the k best by score that is among the k best by truth.

    From 0 to 1; a random order gives k / n. nan for fewer than k networks.

    >>> float(precision_at([4, 3, 2, 1], [4, 1, 3, 2], 2))
    0.5
    """
    x, y, sample = prepared(scores, truth, sample)
    return enough(in_both(x, y, sample, at_least_one(k), k) / k, sample, k)


def regret(scores: ArrayLike, truth: ArrayLike, *, sample: Sample | None = None) -> Number:
    """The truth lost by choosing the network with the best score, in units of truth; 0 is best.

    >>> float(regret([3, 9, 4], [94.0, 91.5, 90.0]))
    2.5
    """
    x, y, sample = prepared(scores, truth, sample)
    with np.errstate(invalid="ignore"):  # infinity minus infinity is undefined
        return enough(mean_of_best(y, y, sample) - mean_of_best(x, y, sample), sample, 1)


def regret_of_first(
    scores: ArrayLike, truth: ArrayLike, k: int, *, sample: Sample | None = None
) -> Number:
    """The truth lost by training only the k networks with the best scores, in units of truth.

    0 is best. nan for fewer than k networks.

    >>> float(regret_of_first([3, 9, 4], [94.0, 91.5, 90.0], 2))
    2.5
    """
    x, y, sample = prepared(scores, truth, sample)
    with np.errstate(invalid="ignore"):  # infinity minus infinity is undefined
        lost = mean_of_best(y, y, sample) - best_of_first(x, y, sample, at_least_one(k))
        return enough(lost, sample, k)


def ndcg_at(scores: ArrayLike, truth: ArrayLike, k: int, *, sample: Sample | None = None) -> Number:
    """The normalised discounted cumulative gain of the k best by score, from above 0 to 1.

    Järvelin and Kekäläinen 2002, doi:10.1145/582415.582418: Σ gain / log₂(1 + place), divided by
    that of the best order. The gain is the relative rank by truth, so that it does not depend on
    the scale of the truth; a random order has about 0.5. nan for fewer than k networks.

    >>> round(float(ndcg_at([3, 9, 4], [94.0, 91.5, 90.0], 2)), 3)
    0.617
    """
    x, y, sample = prepared(scores, truth, sample)
    gain = (sample.ranked(y).ranks + (sample.size + 1) / 2) / np.maximum(sample.size, 1)
    discounts = running(1 / np.log2(np.arange(at_least_one(k)) + 2))

    def total(values: Floats) -> Floats:
        order = sample.ranked(values)
        ties = np.maximum(order.weight[order.groups], 1)
        first, last = (np.minimum(at, k).astype(int) for at in (order.higher, order.higher + ties))
        return np.asarray(
            (sample.counts * gain * (discounts[last] - discounts[first]) / ties).sum(0)
        )

    with np.errstate(invalid="ignore"):
        return enough(total(x) / total(y), sample, k)


def best_of_first(x: Floats, y: Floats, sample: Sample, k: int) -> Floats:
    """The expected highest y among the k networks with the highest x, ties being broken at random.

    If j of m tied networks are among the k, the probability that none of h particular ones is among
    them is C(m − h, j) / C(m, j).
    """
    there, chance = sample.ranked(x).best(k)
    down = np.argsort(-y[there], kind="stable")
    values, counts, chance = y[there][down], sample.counts[there][down], chance[down]
    sure, tied = counts * (chance >= 1), counts * ((chance > 0) & (chance < 1))
    m, j = tied.sum(axis=0), k - sure.sum(axis=0)
    h = np.cumsum(tied, axis=0)
    none = np.where(m - h >= j, np.exp(log_ways(np.maximum(m - h, j), j) - log_ways(m, j)), 0.0)
    reached = np.where(np.cumsum(sure, axis=0) > 0, 1.0, 1.0 - none)
    weight = np.diff(reached, axis=0, prepend=np.zeros((1, *reached.shape[1:])))
    each = values.reshape(-1, *[1] * (weight.ndim - 1))
    return np.asarray(np.where(weight > 0, weight * each, 0.0).sum(axis=0))


def log_ways(m: Floats, j: Floats) -> Floats:
    """The logarithm of the number of ways to choose j of m; 0 where j is more than m."""
    m = np.maximum(m, np.maximum(j, 0))
    return np.asarray(gammaln(m + 1) - gammaln(np.maximum(j, 0) + 1) - gammaln(m - j + 1))


def in_both(
    x: Floats, y: Floats, sample: Sample, best: float | Floats, top: float | Floats
) -> Floats:
    """The number of networks that are among the `best` by x and the `top` by y."""
    (by_x, p), (by_y, q) = sample.ranked(x).best(best), sample.ranked(y).best(top)
    both, i, j = np.intersect1d(by_x, by_y, assume_unique=True, return_indices=True)
    return np.asarray(np.einsum("n...,n...,n...->...", sample.counts[both], p[i], q[j]))


def mean_of_best(x: Floats, y: Floats, sample: Sample) -> Floats:
    """The mean of y over the networks with the highest x."""
    there, chance = sample.ranked(x).best(1)
    weight, values = chance * sample.counts[there], y[there].reshape(-1, *[1] * (chance.ndim - 1))
    return np.asarray((weight * np.where(weight > 0, values, 0)).sum(axis=0))  # no 0 · infinity


def at_least_one(best: int) -> int:
    """The integer `best`. Raises ForetellError if it is less than 1."""
    if best < 1:
        raise ForetellError(f"the number of best networks is {best}; expected at least 1")
    return best


def share_of(sample: Sample, share: float) -> Floats:
    """The number of networks in a share of all, rounded, but at least 1."""
    if not 0 < share <= 1:
        raise ForetellError(f"share is {share}; expected more than 0 and at most 1, such as 0.1")
    return np.maximum(1, np.round(share * sample.size))
