"""Intervals: what a statistic would be on other networks drawn like these."""

from collections.abc import Callable, Hashable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from foretell.errors import ForetellError
from foretell.executors.processes import available_cores
from foretell.statistics.sample import Floats, Sample

__all__ = ["Counted", "Interval", "bootstrap", "intervals"]

Counted = Callable[..., Any]
"""A statistic that takes `sample` by keyword: how often each network is there."""


Name = TypeVar("Name", bound=Hashable)


CELLS = 1 << 20
"""Networks × draws worked on by a thread: enough to be fast, few enough for any memory."""


@dataclass(frozen=True)
class Interval:
    """A statistic of `n` networks, and between what it would mostly lie for `n` others."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        """For a table: value, low and high, signed."""
        return f"{self.value:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


def bootstrap(
    statistic: Counted,
    *arrays: ArrayLike,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """The statistic of the arrays and its percentile bootstrap interval.

    Networks are drawn with replacement, n of n, `resamples` times; the interval leaves
    (1 − level) / 2 of the results out on either side. A draw in which the statistic does not
    exist is left out; where that is more than half of them, so is the interval (nan).
    `statistic` is one of `foretell.statistics.correlations`, or any function of arrays and
    `sample`; of many networks several draws are computed at a time, in threads.

    Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapter 13.

    >>> from foretell.studies import spearman
    >>> print(bootstrap(spearman, range(20), [*range(10, 20), *range(10)], seed=1))
    -0.504 [-0.523, -0.139]
    """
    sizes = {len(np.asarray(array)) for array in arrays}
    if len(sizes) != 1:
        raise ForetellError(f"arrays of {sorted(sizes)} networks; give one value a network in each")
    asked = {0: partial(statistic, *arrays)}
    return intervals(asked, sizes.pop(), resamples=resamples, seed=seed, level=level)[0]


def intervals(
    statistics: Mapping[Name, Counted],
    n: int,
    *,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[Name, Interval]:
    """The intervals of many functions of `sample` alone, all from the same draws of n networks."""
    if resamples < 1 or not 0 < level < 1:
        raise ForetellError(
            f"{resamples} resamples at level {level}: give one resample or more, "
            "and a level between 0 and 1"
        )

    def found_in(sample: Sample) -> list[Any]:
        return [statistic(sample=sample) for statistic in statistics.values()]

    with ThreadPoolExecutor(available_cores()) as threads:
        drawn = list(threads.map(found_in, draws(n, resamples, seed)))
    of_each = zip(statistics, found_in(Sample.once(n)), zip(*drawn, strict=True), strict=True)
    return {
        name: Interval(float(value), *percentiles(np.concatenate(parts), level), n)
        for name, value, parts in of_each
    }


def draws(n: int, resamples: int, seed: int) -> Iterator[Sample]:
    """How often each of n networks (rows) is drawn in each resample (columns), a part at a time."""
    generator = np.random.default_rng(seed)
    parts = max(1, min(resamples, -(-n * resamples // CELLS)))
    step = -(-resamples // parts)
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        chosen = generator.integers(n, size=(size, n)) if n else np.zeros((size, 0), dtype=int)
        chosen += n * np.arange(size)[:, None]
        counts = np.bincount(chosen.reshape(-1), minlength=size * n).reshape(size, n)
        yield Sample(np.ascontiguousarray(counts.T, dtype=np.float64))


def percentiles(values: Floats, level: float) -> tuple[float, float]:
    """The ends of the middle `level` of the values that exist, if those are half of all."""
    there = values[~np.isnan(values)]
    if 2 * len(there) < len(values):
        return float("nan"), float("nan")
    low, high = np.quantile(there, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
