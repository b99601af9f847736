"""Ranks and places at the top, where a network may be there several times.

An interval asks for a statistic again and again, each time of other networks. What matters of a
draw is only how often each network is in it, so everything here takes counts: row i says how often
network i is there, and a further axis, if any, holds one draw after another. One sort of the
networks then serves all draws, and a sample remembers what it has sorted, for the next statistic.
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
"""A statistic; for a sample of many draws, one a draw."""


Made = TypeVar("Made")


BLOCK = 32
"""Rows summed at a time."""


KEPT = 12
"""What a sample remembers: enough for all statistics of one score, or of three seeds."""


@dataclass(frozen=True, eq=False)
class Sample:
    """Networks drawn: `counts[i]` is how often network i is there, `counts[i, d]` in draw d."""

    counts: Floats
    known: dict[Any, Any] = field(default_factory=dict)

    @classmethod
    def once(cls, n: int) -> Self:
        """Each of n networks once."""
        return cls(np.ones(n))

    @cached_property
    def size(self) -> Floats:
        """How many networks there are, in each draw."""
        return np.asarray(self.counts.sum(axis=0))

    def with_truth(self, truth: Floats) -> "Sample":
        """The sample without the networks whose truth is undefined."""
        return self.remembered(drop_missing, truth) if np.isnan(truth).any() else self

    def ranked(self, values: Floats) -> "Ranked":
        """What is known of the order of these values."""
        return self.remembered(Ranked, values)

    def remembered(self, make: Callable[..., Made], *arrays: Floats) -> Made:
        """What `make` gives for this sample and these very arrays; the latest are kept."""
        key = (make, *map(id, arrays))
        kept = self.known.pop(key, None)
        if kept is None:  # kept with the arrays: a freed one would lend its id to another
            kept = arrays, make(self, *arrays)
        self.known[key] = kept
        if len(self.known) > KEPT:
            del self.known[next(iter(self.known))]
        made: Made = kept[1]
        return made


@dataclass(frozen=True, eq=False)
class Ranked:
    """The order of some values, one a network; an undefined one is minus infinity."""

    sample: Sample
    given: Floats

    @cached_property
    def values(self) -> Floats:
        """The values, all comparable."""
        return np.where(np.isnan(self.given), -np.inf, self.given)

    @cached_property
    def groups(self) -> Groups:
        """The place of each value among the distinct ones, from 0 for the lowest."""
        return np.unique(self.values, return_inverse=True)[1].reshape(-1)

    @cached_property
    def weight(self) -> Floats:
        """How many networks have each distinct value."""
        return weights(self.groups, self.sample.counts)

    @cached_property
    def ranks(self) -> Floats:
        """The rank of each network less the mean rank; equal values share their mean.

        >>> Sample.once(3).ranked(np.array([3.0, 1.0, 3.0])).ranks
        array([ 0.5, -1. ,  0.5])
        """
        return (self.upto - (self.weight + self.sample.size) / 2)[self.groups]

    @cached_property
    def upto(self) -> Floats:
        """How many networks have each distinct value or a lower one."""
        return running(self.weight)[1:]

    @cached_property
    def higher(self) -> Floats:
        """How many networks have a higher value than each."""
        return (self.sample.size - self.upto)[self.groups]

    def best(self, best: float | Floats) -> tuple[Groups, Floats]:
        """The networks that can be among the `best` highest, and the chance of each.

        Ties are broken by lot.

        >>> Sample.once(4).ranked(np.array([3.0, 1.0, 2.0, 2.0])).best(2)
        (array([0, 2, 3]), array([1. , 0.5, 0.5]))
        """
        size, upto = self.sample.size, self.upto
        # the lowest value that in any draw can be: values below have more above them
        least = bisect(range(len(upto)), True, key=lambda at: bool(np.any(size - upto[at] < best)))
        least = least if least < len(upto) else 0
        above = size - upto[least:]
        chance = np.clip((best - above) / np.maximum(self.weight[least:], 1), 0, 1)
        there = np.flatnonzero(self.groups >= least)
        return there, chance[self.groups[there] - least]


def weights(groups: Groups, counts: Floats) -> Floats:
    """How many there are in each group."""
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    if len(starts) == len(groups):  # a group each, as for most scores
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
    """The values as numbers; the very array where it is one."""
    return np.asarray(values, dtype=np.float64)


def prepared(
    scores: ArrayLike, truth: ArrayLike, sample: Sample | None
) -> tuple[Floats, Floats, Sample]:
    """Scores and truth as arrays, and the sample without what has no truth."""
    x, y = numbers(scores), numbers(truth)
    if x.ndim != 1 or x.shape != y.shape:
        raise ForetellError(
            f"scores of shape {x.shape} and truth of shape {y.shape}: give one number a network "
            "in each, in the same order"
        )
    return x, y, (sample or Sample.once(len(y))).with_truth(y)


def ratio(above: Floats, below: Floats) -> Floats:
    """The quotient, nan where it has none."""
    return np.asarray(np.divide(above, below, out=np.full_like(below, np.nan), where=below > 0))


def enough(values: Floats, sample: Sample, fewest: int) -> Number:
    """The values, nan where there are too few networks."""
    return np.where(sample.size >= fewest, values, np.nan)[()]
