"""Which scores rank networks differently with another seed, as measured in docs/stability.md."""

from collections.abc import Iterable

__all__ = ["BETWEEN_SEEDS", "LEAST", "unstable"]

LEAST = 0.9
"""The rank correlation between two seeds below which a score is unstable."""

BETWEEN_SEEDS = {
    "fisher_reference": 0.89,
    "jacob_cov": 0.78,
    "fisher": 0.75,
    "grasp": 0.64,
    "epe_nas": 0.51,
    "plain": -0.23,
}
"""Spearman's ρ between two seeds, for the scores for which it is below `LEAST`."""


def unstable(names: Iterable[str]) -> dict[str, float]:
    """The scores among these whose order depends on the seed, with Spearman's ρ between two seeds.

    >>> unstable(["synflow", "jacob_cov"])
    {'jacob_cov': 0.78}
    """
    return {name: BETWEEN_SEEDS[name] for name in names if name in BETWEEN_SEEDS}
