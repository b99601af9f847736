"""Ranks and top positions in weighted samples of networks.

An interval requires a statistic of many different samples of networks. A sample is fully described
by how often it contains each network, so everything here works on counts: row i says how often
network i is included, and an optional second axis runs over many samples ("draws"). One sort of the
networks then serves all draws, and a sample caches its sorted arrays for the next statistic.
"""

from bisect import bisect_left as bisect
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from foretell.errors import ForetellError

__all__ = [
    "Floats",
    "Groups",
    "Number",
    "Ranked",
    "Sample",
    "enough",
    "numbers",
    "prepared",
    "ratio",
    "running",
    "weights",
]

Floats = NDArray[np.float64]


Groups = NDArray[np.intp]


Number = float | Floats
"""A statistic; for a sample of many draws, one value per draw."""


Made = TypeVar("Made")


BLOCK = 32
"""The number of rows that are summed at a time."""


KEPT = 12
"""The number of cached results: enough for all statistics of one score, or of three seeds."""


@dataclass(frozen=True, eq=False)
class Sample:
    """A sample of networks: `counts[i]`, or `counts[i, d]` in draw d, of each network i."""

    counts: Floats
    known: dict[Any, Any] = field(default_factory=dict)

    @classmethod
    def once(cls, n: int) -> Self:
        """The sample that contains each of n networks once."""
        return cls(np.ones(n))

    @cached_property
    def size(self) -> Floats:
        """The number of networks in each draw."""
        return np.asarray(self.counts.sum(axis=0))

    def with_truth(self, truth: Floats) -> "Sample":
        """The sample without the networks whose truth is undefined."""
        return self.remembered(drop_missing, truth) if np.isnan(truth).any() else self

    def ranked(self, values: Floats) -> "Ranked":
        """The order of these values in the sample."""
        return self.remembered(Ranked, values)

    def remembered(self, make: Callable[..., Made], *arrays: Floats) -> Made:
        """The cached result of `make` for this sample and these array objects."""
        key = (make, *map(id, arrays))
        kept = self.known.pop(key, None)
        if kept is None:  # kept with the arrays, since the id of a freed array may be reused
            kept = arrays, make(self, *arrays)
        self.known[key] = kept
        if len(self.known) > KEPT:
            del self.known[next(iter(self.known))]
        made: Made = kept[1]
        return made


@dataclass(frozen=True, eq=False)
class Ranked:
    """The order of some values, one per network; undefined values count as minus infinity."""

    sample: Sample
    given: Floats

    @cached_property
    def values(self) -> Floats:
        """The values, with minus infinity for nan."""
        return np.where(np.isnan(self.given), -np.inf, self.given)

    @cached_property
    def groups(self) -> Groups:
        """The position of each value among the distinct ones, starting with 0 for the lowest."""
        return np.unique(self.values, return_inverse=True)[1].reshape(-1)

    @cached_property
    def weight(self) -> Floats:
        """The number of networks with each distinct value."""
        return weights(self.groups, self.sample.counts)

    @cached_property
    def ranks(self) -> Floats:
        """The rank of each network minus the mean rank; equal values share their mean rank.

        >>> Sample.once(3).ranked(np.array([3.0, 1.0, 3.0])).ranks
        array([ 0.5, -1. ,  0.5])
        """
        return (self.upto - (self.weight + self.sample.size) / 2)[self.groups]

    @cached_property
    def upto(self) -> Floats:
        """The number of networks with each distinct value or a lower one."""
        return running(self.weight)[1:]

    @cached_property
    def higher(self) -> Floats:
        """For each network, the number of networks with a higher value."""
        return (self.sample.size - self.upto)[self.groups]

    def best(self, best: float | Floats) -> tuple[Groups, Floats]:
        """The networks that can be among the `best` highest, and the probability of each.

        Ties are broken at random.

        >>> Sample.once(4).ranked(np.array([3.0, 1.0, 2.0, 2.0])).best(2)
        (array([0, 2, 3]), array([1. , 0.5, 0.5]))
        """
        size, upto = self.sample.size, self.upto
        # the lowest value that can be among the best in any draw; the search is by bisection, since
        # a lower value has at least as many above it
        least = bisect(range(len(upto)), True, key=lambda at: bool(np.any(size - upto[at] < best)))
        least = least if least < len(upto) else 0
        above = size - upto[least:]
        chance = np.clip((best - above) / np.maximum(self.weight[least:], 1), 0, 1)
        there = np.flatnonzero(self.groups >= least)
        return there, chance[self.groups[there] - least]


def weights(groups: Groups, counts: Floats) -> Floats:
    """The number of networks in each group."""
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    if len(starts) == len(groups):  # all values differ, as for most scores
        return counts[order]
    return np.asarray(np.add.reduceat(counts[order], starts, axis=0), dtype=np.float64)


def running(counts: Floats) -> Floats:
    """The sums of the first 0, 1, … rows."""
    sums = np.zeros((len(counts) + 1, *counts.shape[1:]), dtype=counts.dtype)
    if counts.ndim == 1:
        np.cumsum(counts, out=sums[1:])
        return sums
    # within blocks by a matrix product: numpy's cumsum along the first axis takes twice as long
    whole = len(counts) // BLOCK * BLOCK
    blocks = sums[1 : whole + 1].reshape(-1, BLOCK, counts.shape[1])
    lower = np.tri(BLOCK, dtype=counts.dtype)
    np.matmul(lower, counts[:whole].reshape(blocks.shape), out=blocks)
    for before, block in pairwise(blocks):
        block += before[-1]
    for row in range(whole, len(counts)):
        np.add(sums[row], counts[row], out=sums[row + 1])
    return sums


def drop_missing(sample: Sample, truth: Floats) -> Sample:
    """The sample without the networks whose truth is undefined."""
    counts = sample.counts.copy()
    counts[np.isnan(truth)] = 0
    return Sample(counts)


def numbers(values: ArrayLike) -> Floats:
    """The values as a float64 array; the same object if it is one already."""
    return np.asarray(values, dtype=np.float64)


def prepared(
    scores: ArrayLike, truth: ArrayLike, sample: Sample | None
) -> tuple[Floats, Floats, Sample]:
    """Scores and truth as arrays, and the sample without networks whose truth is undefined."""
    x, y = numbers(scores), numbers(truth)
    if x.ndim != 1 or x.shape != y.shape:
        raise ForetellError(
            f"scores has shape {x.shape} and truth has shape {y.shape}; expected one number per "
            "network in each, in the same order"
        )
    return x, y, (sample or Sample.once(len(y))).with_truth(y)


def ratio(above: Floats, below: Floats) -> Floats:
    """The quotient; nan unless the divisor is positive."""
    return np.asarray(np.divide(above, below, out=np.full_like(below, np.nan), where=below > 0))


def enough(values: Floats, sample: Sample, fewest: int) -> Number:
    """The values; nan for draws of fewer than `fewest` networks."""
    return np.where(sample.size >= fewest, values, np.nan)[()]
