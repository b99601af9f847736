"""Pairs of networks: how many two orders agree on, where a network may be there several times."""

from dataclasses import dataclass

import numpy as np

from foretell.studies.sample import Floats, Groups, Sample, running, weights

__all__ = ["Orders", "orders_of"]


@dataclass(frozen=True)
class Orders:
    """How many pairs of networks x and y order alike, in each draw."""

    alike: Floats  # the same strict order in both
    both_apart: Floats  # different in x and different in y
    x_apart: Floats
    y_apart: Floats


def orders_of(sample: Sample, x: Floats, y: Floats) -> Orders:
    """The pairs, counted."""
    gx, gy, counts = sample.ranked(x).groups, sample.ranked(y).groups, sample.counts
    everything = sample.size * (sample.size - 1) / 2
    x_equal, y_equal = pairs(sample.ranked(x).weight), pairs(sample.ranked(y).weight)
    joint = np.unique(gx * (gy.max(initial=0) + 1) + gy, return_inverse=True)[1].reshape(-1)
    both_apart = everything - x_equal - y_equal + pairs(weights(joint, counts))
    alike = concordant(gx, gy, counts)
    return Orders(alike, both_apart, everything - x_equal, everything - y_equal)


def concordant(x: Groups, y: Groups, counts: Floats) -> Floats:
    """How many pairs have the same strict order in x and in y; O(n log n) for each draw.

    Sorted by y, and against x where y is equal, such a pair is one whose later member has the
    larger x. Merging ever longer halves finds each pair once, as in Knight 1966; which network
    meets which does not depend on the draw, so each merge is a running sum read at fixed places.
    """
    order = np.lexsort((-x, y))
    x, counts = x[order], counts[order]
    place, size = np.arange(len(x)), x.max(initial=0) + 1
    total = np.zeros(counts.shape[1:])
    half = 1
    while half < len(x):
        later = place // half % 2 == 1
        block = place // (2 * half) * size
        earlier = np.flatnonzero(~later)
        earlier = earlier[np.argsort((block + x)[earlier], kind="stable")]
        keys = (block + x)[earlier]
        sums = running(counts[earlier])
        below = sums[np.searchsorted(keys, (block + x)[later])]
        below -= sums[np.searchsorted(keys, block[later])]
        total += np.einsum("n...,n...->...", below, counts[later])
        half *= 2
    return total


def pairs(weight: Floats) -> Floats:
    """How many pairs there are within the groups."""
    return np.asarray((np.einsum("n...,n...->...", weight, weight) - weight.sum(axis=0)) / 2)
