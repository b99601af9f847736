"""The statistics of a study in the dullest possible way: loops over networks and pairs.

Scores and truths are lists; scores are never nan here: `last` makes an undefined one the lowest.
"""

from itertools import combinations, pairwise, permutations
from math import inf, isnan, nan, sqrt


def last(scores: list[float]) -> list[float]:
    """Undefined scores as the lowest."""
    return [-inf if isnan(score) else score for score in scores]


def ranks(values: list[float]) -> list[float]:
    """One, plus how many are lower, plus half of the others that are equal."""
    return [
        1 + sum(other < value for other in values) + (values.count(value) - 1) / 2
        for value in values
    ]


def pearson(x: list[float], y: list[float]) -> float:
    """The covariance over both deviations."""
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
    """Over all ordered pairs with different truth, as the code of arXiv:2101.08134 loops."""
    right = total = 0
    for i, j in permutations(range(len(x)), 2):
        if y[i] != y[j]:
            right += (x[i] > x[j]) == (y[i] > y[j])
            total += 1
    return right / total if total else nan


def majority_accuracy(ballots: list[list[float]], y: list[float]) -> float:
    """The same with most of the columns deciding."""
    right = total = 0
    for i, j in permutations(range(len(y)), 2):
        if y[i] != y[j]:
            ahead = sum(a > b for a, b in zip(ballots[i], ballots[j], strict=True))
            right += (2 * ahead > len(ballots[i])) == (y[i] > y[j])
            total += 1
    return right / total if total else nan


def partial_spearman(x: list[float], y: list[float], given: list[float]) -> float:
    """The correlation of what is left of the ranks after a straight line through those of given."""
    if len(x) < 3:
        return nan
    left = [residuals(ranks(values), ranks(given)) for values in (x, y)]
    if any(max(map(abs, values)) < 1e-6 for values in left):
        return nan
    return pearson(*left)


def residuals(values: list[float], by: list[float]) -> list[float]:
    """What least squares leaves."""
    mean, mean_by = sum(values) / len(values), sum(by) / len(by)
    square = sum((b - mean_by) ** 2 for b in by)
    if not square:
        return [0.0] * len(by)  # a correlation with a constant does not exist
    product = sum((v - mean) * (b - mean_by) for v, b in zip(values, by, strict=True))
    return [v - mean - product / square * (b - mean_by) for v, b in zip(values, by, strict=True)]


def chance(values: list[float], best: int) -> list[float]:
    """How often each network is among the best, over all orders that agree with the values."""
    orders = [
        order
        for order in permutations(range(len(values)))
        if all(values[i] >= values[j] for i, j in pairwise(order))
    ]
    return [sum(i in order[:best] for order in orders) / len(orders) for i in range(len(values))]


def in_both(x: list[float], y: list[float], best: int, top: int) -> float:
    """How many are at the top of both on average, as ties are broken by lot."""
    return sum(p * q for p, q in zip(chance(x, best), chance(y, top), strict=True))


def share_of(n: int, share: float) -> int:
    """A part of n, rounded, at least one."""
    return max(1, round(n * share))


def top_overlap(x: list[float], y: list[float], share: float) -> float:
    """The overlap of both tops."""
    best = share_of(len(x), share)
    return in_both(x, y, best, best) / best


def best_in_top(x: list[float], y: list[float], best: int, share: float) -> float:
    """How many of the best are in the top."""
    return in_both(x, y, best, share_of(len(x), share)) if best <= len(x) else nan


def precision_at(x: list[float], y: list[float], k: int) -> float:
    """The best of both."""
    return in_both(x, y, k, k) / k if k <= len(x) else nan


def regret(x: list[float], y: list[float]) -> float:
    """The best truth less that of the best score, on average over equal ones."""
    picked = [b for a, b in zip(x, y, strict=True) if a == max(x)]
    return max(y) - sum(picked) / len(picked)


def within_top(x: list[float], y: list[float], share: float) -> tuple[list[float], list[float]]:
    """The networks that are no worse than the last of the top."""
    cut = sorted(y, reverse=True)[share_of(len(y), share) - 1]
    inside = [(a, b) for a, b in zip(x, y, strict=True) if b >= cut]
    return [a for a, _ in inside], [b for _, b in inside]
