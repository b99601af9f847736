"""Measure the noise of a benchmark: how well one training of its networks predicts another one."""

from functools import partial
from itertools import permutations

import numpy as np
import pandas as pd

from foretell.errors import ForetellError
from foretell.statistics.correlations import Statistic, spearman
from foretell.statistics.intervals import Interval, interval
from foretell.statistics.sample import Floats, Number, Sample

__all__ = ["noise_ceiling", "seed_against_seed"]


def noise_ceiling(
    repeats: pd.DataFrame,
    statistic: Statistic = spearman,
    *,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """The mean of the statistic over all pairs of training seeds, with its confidence interval.

    `repeats` has one row per network and one column per seed, nan if that seed is missing. A score
    that ranks networks equally well is indistinguishable from training them once. It is an upper
    bound for scores only if the truth is a single training: truth averaged over seeds is less
    noisy.

    Raises ForetellError for fewer than two seeds.

    >>> twice = pd.DataFrame({"seed 0": [91.0, 92, 93, 94], "seed 1": [91.5, 93.5, 92.5, 94.5]})
    >>> noise_ceiling(twice).value
    0.8
    """
    if repeats.shape[1] < 2:
        raise ForetellError(
            f"repeats has {repeats.shape[1]} columns; expected one per seed, at least two"
        )
    return interval(
        partial(seed_against_seed, statistic),
        *repeats.to_numpy(dtype=float).T.copy(),
        seed=seed,
        level=level,
    )


def seed_against_seed(statistic: Statistic, *seeds: Floats, sample: Sample) -> Number:
    """The mean of the statistic over pairs of seeds, one as scores and one as truth."""
    found = [
        statistic(one, other, sample=sample.with_truth(one))
        for one, other in permutations(seeds, 2)
    ]
    return np.asarray(np.mean(np.asarray(found), axis=0))
