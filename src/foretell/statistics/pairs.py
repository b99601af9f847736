"""Count the pairs of networks that two orders agree on, in weighted samples."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from foretell.statistics.sample import Floats, Groups, Sample, running, weights

__all__ = ["Orders", "exact", "orders_of"]

BLOCK = 256
"""The number of networks within which all pairs are compared directly."""


@dataclass(frozen=True)
class Orders:
    """The numbers of pairs of networks in each draw, by how x and y order them."""

    alike: Floats  # the same strict order in both
    both_apart: Floats  # different in x and different in y
    x_apart: Floats
    y_apart: Floats


def orders_of(sample: Sample, x: Floats, y: Floats) -> Orders:
    """Count the pairs of a sample by how x and y order them."""
    gx, gy, counts = sample.ranked(x).groups, sample.ranked(y).groups, sample.counts
    everything = sample.size * (sample.size - 1) / 2
    x_equal, y_equal = pairs(sample.ranked(x).weight), pairs(sample.ranked(y).weight)
    joint = np.unique(gx * (gy.max(initial=0) + 1) + gy, return_inverse=True)[1].reshape(-1)
    both_apart = everything - x_equal - y_equal + pairs(weights(joint, counts))
    alike = concordant(gx, gy, counts)
    return Orders(alike, both_apart, everything - x_equal, everything - y_equal)


def concordant(x: Groups, y: Groups, counts: Floats) -> Floats:
    """The number of pairs with the same strict order in x and in y; O(n log n) for each draw.

    When the networks are sorted by y, and by decreasing x where y is equal, these are the pairs
    whose later member has the larger x. Within blocks, all pairs are compared, for all draws by one
    matrix product. Merging increasingly long halves then finds each pair across blocks once, as in
    Knight 1966. Which networks are compared does not depend on the draw, so each merge is a running
    sum read at fixed positions.
    """
    order = np.lexsort((-x, y))
    x, counts = x[order], exact(counts[order])
    total = within_blocks(x, counts)
    place, size = np.arange(len(x)), x.max(initial=0) + 1
    half = BLOCK
    while half < len(x):
        later = np.flatnonzero(place // half % 2 == 1)
        earlier = np.flatnonzero(place // half % 2 == 0)
        block = place // (2 * half) * size
        keys = block + x
        earlier = earlier[np.argsort(keys[earlier], kind="stable")]
        sums = running(counts[earlier])
        below = sums[np.searchsorted(keys[earlier], keys[later])]
        below -= sums[np.searchsorted(keys[earlier], block[later])]
        below *= counts[later]
        total += below.sum(axis=0, dtype=np.float64)
        half *= 2
    return total


def within_blocks(x: Groups, counts: Floats) -> Floats:
    """The number of pairs within blocks of networks whose later member has the larger x."""
    total = np.zeros(counts.shape[1:])
    for start in range(0, len(x), BLOCK):
        block = slice(start, start + BLOCK)
        smaller = np.tril(x[block, None] > x[None, block]).astype(counts.dtype)
        below = smaller @ counts[block]
        below *= counts[block]
        total += below.sum(axis=0, dtype=np.float64)
    return total


def exact(counts: Floats) -> Any:
    """The counts in float32 if it represents all products of sums exactly, otherwise unchanged."""
    largest = float(counts.max(initial=0) * counts.sum(axis=0).max(initial=0))
    return counts.astype(np.float32) if largest < 1 << 23 else counts


def pairs(weight: Floats) -> Floats:
    """The number of pairs of networks in the same group."""
    return np.asarray((np.einsum("n...,n...->...", weight, weight) - weight.sum(axis=0)) / 2)
