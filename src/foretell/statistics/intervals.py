"""Confidence intervals of statistics of a population from which the networks were drawn.

They are grouped jackknife intervals: the networks are divided into groups, the statistic is
computed once without each group, and the spread of these values gives a standard error.
Correlations are first transformed to Fisher's scale, where their error hardly depends on their
value, so that an interval never exceeds the range of the statistic and never has width zero.

The percentile bootstrap is not used, because it draws networks with replacement, and copies of the
same network agree perfectly with each other: its 95 % intervals covered statistics of the top in
only 71 to 91 % of cases. tests/statistics/test_intervals.py checks by simulation that every
interval here covers 92 to 98 %.
"""

import math
from collections.abc import Callable, Hashable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from foretell.errors import ForetellError
from foretell.executors.processes import available_cores
from foretell.statistics.sample import Floats, Groups, Sample

__all__ = [
    "CORRELATION",
    "SHARE",
    "Counted",
    "Interval",
    "Scale",
    "interval",
    "intervals",
    "with_interval",
]

Counted = Callable[..., Any]
"""A statistic that takes the keyword `sample`: how often each network is included."""

Name = TypeVar("Name", bound=Hashable)

CELLS = 1 << 20
"""The number of networks × groups that are processed at a time, which limits the memory needed."""


@dataclass(frozen=True)
class Scale:
    """The range of a statistic, and how its interval is computed."""

    low: float
    high: float
    fewest: int
    """The fewest networks for which the coverage was verified; there is no interval for fewer."""
    groups: int = 200
    part: float = 1.0
    """The share of the networks that the statistic depends on, such as the top 10 %."""
    fisher: bool = True
    """Whether errors are uniform on Fisher's scale: arctanh of the value mapped to [−1, 1]."""

    def fitted(self, values: Floats, n: int) -> Floats:
        """Values on the scale on which errors are uniform; the ends of the range stay finite."""
        if not self.fisher:
            return values
        most = 1 - 1 / max(self.part * n, 2)
        unit = 2 * (values - self.low) / (self.high - self.low) - 1
        return np.asarray(np.arctanh(np.clip(unit, -most, most)))

    def value(self, fitted: float) -> float:
        """The inverse of `fitted`."""
        if self.fisher:
            fitted = self.low + (math.tanh(fitted) + 1) / 2 * (self.high - self.low)
        return min(max(fitted, self.low), self.high)

    def least_error(self, n: int) -> float:
        """A lower bound of the error of a statistic of n networks, for values that do not vary."""
        about = max(self.part * n, 4)
        return 0.5 / (about - 3) ** 0.5 if self.fisher else 1.5 / about


CORRELATION = Scale(-1, 1, fewest=10)
"""The scale of a rank correlation over all networks."""

SHARE = Scale(0, 1, fewest=10)
"""The scale of a share of pairs of networks."""


@dataclass(frozen=True)
class Interval:
    """A statistic of `n` networks and the interval of its population value; nan if unknown."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        """Value, low and high with signs, for tables.

        >>> print(Interval(-0.1, -0.25, 0.5, 20))
        -0.100 [-0.250, +0.500]
        """
        return f"{self.value:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


def interval(
    statistic: Counted,
    *arrays: ArrayLike,
    scale: Scale = CORRELATION,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """The statistic of arrays with one value per network, and its jackknife confidence interval.

    With G groups, values z₍₁₎ … z₍G₎ without each of them, z of all and s² = (G − 1)/G ·
    Σ (z₍ⱼ₎ − mean)², the interval is z ± t·s, where t is a quantile of Student's distribution with
    G − 1 degrees of freedom and z is on Fisher's scale. Up to 200 networks, each is a group;
    otherwise groups are drawn by `seed`. There is no interval (nan) for fewer networks than the
    scale requires, or if the statistic is undefined without one of the groups.

    Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapter 11. Raises ForetellError if
    the arrays differ in length, or if `level` is not between 0 and 1.

    >>> from foretell.studies import spearman
    >>> print(interval(spearman, range(20), [*range(10, 20), *range(10)]))
    -0.504 [-0.669, -0.292]
    """
    sizes = {len(np.asarray(array)) for array in arrays}
    if len(sizes) != 1:
        raise ForetellError(
            f"the arrays have lengths {sorted(sizes)}; expected one value per network in each"
        )
    asked = {0: partial(statistic, *arrays)}
    return intervals(asked, sizes.pop(), {0: scale}, seed=seed, level=level)[0]


def intervals(
    statistics: Mapping[Name, Counted],
    n: int,
    scales: Mapping[Name, Scale],
    *,
    seed: int = 0,
    level: float = 0.95,
) -> dict[Name, Interval]:
    """The values of several statistics, with intervals for those that have a scale.

    Each statistic is a function of `sample`. All are computed on the same n networks, divided into
    the same groups.
    """
    if not 0 < level < 1:
        raise ForetellError(f"level is {level!r}; expected a number between 0 and 1, such as 0.95")
    with np.errstate(invalid="ignore"):
        values = {
            name: float(statistic(sample=Sample.once(n))) for name, statistic in statistics.items()
        }
    found = {name: Interval(value, np.nan, np.nan, n) for name, value in values.items()}
    wanted = {
        name: scale
        for name, scale in scales.items()
        if name in values and n >= scale.fewest and not np.isnan(values[name])
    }
    for groups in sorted({scale.groups for scale in wanted.values()}):
        names = [name for name, scale in wanted.items() if scale.groups == groups]
        without = values_without(
            [statistics[name] for name in names], dealt(n, groups, seed), available_cores()
        )
        for name, each in zip(names, without, strict=True):
            found[name] = around(values[name], each, wanted[name], n, level)
    return found


def dealt(n: int, groups: int, seed: int) -> Groups:
    """The group of each network, numbered from 0; their sizes are nearly equal, or all 1."""
    if n <= groups:
        return np.arange(n, dtype=np.intp)
    places = np.random.default_rng(seed).permutation(n)
    return np.asarray(places * groups // n, dtype=np.intp)


def values_without(statistics: list[Counted], group: Groups, threads: int) -> list[Floats]:
    """The values of each statistic without each group."""

    def found_in(sample: Sample) -> list[Any]:
        return [statistic(sample=sample) for statistic in statistics]

    with ThreadPoolExecutor(threads) as pool:
        parts = list(pool.map(found_in, samples_without(group)))
    return [np.concatenate(part) for part in zip(*parts, strict=True)]


def samples_without(group: Groups) -> Iterator[Sample]:
    """Samples of all networks except those of a group, one draw per group, in batches."""
    count = int(group.max()) + 1
    step = max(1, CELLS // len(group))
    for start in range(0, count, step):
        left_out = np.arange(start, min(start + step, count))
        yield Sample(np.ascontiguousarray(group[:, None] != left_out, dtype=np.float64))


def around(value: float, without: Floats, scale: Scale, n: int, level: float) -> Interval:
    """The interval around a value, from the values without each group."""
    if np.isnan(without).any():
        return Interval(value, np.nan, np.nan, n)
    groups = len(without)
    each = scale.fitted(without, n)
    error = np.sqrt((groups - 1) / groups * ((each - each.mean()) ** 2).sum())
    half = stdtrit(groups - 1, (1 + level) / 2) * max(error, scale.least_error(n))
    place = float(scale.fitted(np.asarray(value), n))
    low, high = scale.value(place - half), scale.value(place + half)
    return Interval(value, float(min(low, value)), float(max(high, value)), n)


def with_interval(value: float, low: float, high: float, digits: int = 3) -> str:
    """A number with its interval, if known, for a cell of a table.

    >>> with_interval(0.737, 0.71, 0.76), with_interval(2.5, np.nan, np.nan, digits=1)
    ('0.737 [0.710, 0.760]', '2.5')
    >>> with_interval(np.nan, np.nan, np.nan)
    '–'
    """
    if np.isnan(value):
        return "–"
    if np.isnan(low):
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"
