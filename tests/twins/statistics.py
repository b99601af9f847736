"""The statistics of a study in the simplest way: loops over networks and pairs.

Scores and truths are lists without nan: `last` replaces undefined scores by the lowest value.
"""

from itertools import combinations, pairwise, permutations
from math import inf, isnan, log2, nan, sqrt


def last(scores: list[float]) -> list[float]:
    """The scores, with undefined ones replaced by the lowest."""
    return [-inf if isnan(score) else score for score in scores]


def ranks(values: list[float]) -> list[float]:
    """One, plus the number of lower values, plus half the number of other equal values."""
    return [
        1 + sum(other < value for other in values) + (values.count(value) - 1) / 2
        for value in values
    ]


def pearson(x: list[float], y: list[float]) -> float:
    """The covariance divided by both standard deviations."""
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    product = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    square = sum((a - mean_x) ** 2 for a in x) * sum((b - mean_y) ** 2 for b in y)
    return product / sqrt(square) if square else nan


def spearman(x: list[float], y: list[float]) -> float:
    """Pearson's correlation of the ranks."""
    return pearson(ranks(x), ranks(y)) if len(x) > 2 else nan


def kendall(x: list[float], y: list[float]) -> float:
    """τ-b, pair by pair."""
    if len(x) < 3:
        return nan
    agree = x_apart = y_apart = 0
    for i, j in combinations(range(len(x)), 2):
        by_x, by_y = (x[i] > x[j]) - (x[i] < x[j]), (y[i] > y[j]) - (y[i] < y[j])
        agree += by_x * by_y
        x_apart += by_x != 0
        y_apart += by_y != 0
    return agree / sqrt(x_apart * y_apart) if x_apart * y_apart else nan


def pairwise_accuracy(x: list[float], y: list[float]) -> float:
    """The share over all ordered pairs with different truth, like the code of arXiv:2101.08134."""
    right = total = 0
    for i, j in permutations(range(len(x)), 2):
        if y[i] != y[j]:
            right += (x[i] > x[j]) == (y[i] > y[j])
            total += 1
    return right / total if total else nan


def majority_accuracy(ballots: list[list[float]], y: list[float]) -> float:
    """The same share, decided by most of the columns."""
    right = total = 0
    for i, j in permutations(range(len(y)), 2):
        if y[i] != y[j]:
            ahead = sum(a > b for a, b in zip(ballots[i], ballots[j], strict=True))
            right += (2 * ahead > len(ballots[i])) == (y[i] > y[j])
            total += 1
    return right / total if total else nan


def partial_spearman(x: list[float], y: list[float], given: list[float]) -> float:
    """The correlation of the residuals of the ranks after a linear fit on the ranks of `given`."""
    if len(x) < 3:
        return nan
    left = [residuals(ranks(values), ranks(given)) for values in (x, y)]
    if any(max(map(abs, values)) < 1e-6 for values in left):
        return nan
    return pearson(*left)


def residuals(values: list[float], by: list[float]) -> list[float]:
    """The residuals of a least-squares fit."""
    mean, mean_by = sum(values) / len(values), sum(by) / len(by)
    square = sum((b - mean_by) ** 2 for b in by)
    if not square:
        return [0.0] * len(by)  # the correlation with a constant is undefined
    product = sum((v - mean) * (b - mean_by) for v, b in zip(values, by, strict=True))
    return [v - mean - product / square * (b - mean_by) for v, b in zip(values, by, strict=True)]


def chance(values: list[float], best: int) -> list[float]:
    """How often each network is among the best, over all orders that agree with the values."""
    every = orders(values)
    return [sum(i in order[:best] for order in every) / len(every) for i in range(len(values))]


def in_both(x: list[float], y: list[float], best: int, top: int) -> float:
    """The mean number of networks in both tops, over all ways to break ties."""
    return sum(p * q for p, q in zip(chance(x, best), chance(y, top), strict=True))


def share_of(n: int, share: float) -> int:
    """The number of networks in a share of n: rounded, at least one."""
    return max(1, round(n * share))


def top_overlap(x: list[float], y: list[float], share: float) -> float:
    """The overlap of both tops."""
    best = share_of(len(x), share)
    return in_both(x, y, best, best) / best


def best_in_top(x: list[float], y: list[float], best: int, share: float) -> float:
    """The number of the best that are in the top."""
    return in_both(x, y, best, share_of(len(x), share)) if best <= len(x) else nan


def precision_at(x: list[float], y: list[float], k: int) -> float:
    """The overlap of the k best of both."""
    return in_both(x, y, k, k) / k if k <= len(x) else nan


def regret(x: list[float], y: list[float]) -> float:
    """The best truth minus the truth of the best score, averaged over equal scores."""
    picked = [b for a, b in zip(x, y, strict=True) if a == max(x)]
    return max(y) - sum(picked) / len(picked)


def orders(x: list[float]) -> list[tuple[int, ...]]:
    """All orders of the networks from the best that agree with the values."""
    return [
        order
        for order in permutations(range(len(x)))
        if all(x[i] >= x[j] for i, j in pairwise(order))
    ]


def regret_of_first(x: list[float], y: list[float], k: int) -> float:
    """The best truth minus the best of the first k, averaged over all ways to break ties."""
    if k > len(x):
        return nan
    best = [max(y[i] for i in order[:k]) for order in orders(x)]
    return max(y) - sum(best) / len(best)


def ndcg_at(x: list[float], y: list[float], k: int) -> float:
    """The discounted gain of the first k, averaged over all ways to break ties."""
    if k > len(x):
        return nan
    gain = [rank / len(y) for rank in ranks(y)]

    def total(values: list[float]) -> float:
        sums = [
            sum(gain[i] / log2(place + 2) for place, i in enumerate(order[:k]))
            for order in orders(values)
        ]
        return sum(sums) / len(sums)

    return total(x) / total(y)


def within_top(x: list[float], y: list[float], share: float) -> tuple[list[float], list[float]]:
    """The networks that are not worse than the last of the top."""
    cut = sorted(y, reverse=True)[share_of(len(y), share) - 1]
    inside = [(a, b) for a, b in zip(x, y, strict=True) if b >= cut]
    return [a for a, _ in inside], [b for _, b in inside]
