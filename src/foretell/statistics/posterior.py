"""Estimate how well a score ranks the networks of a task from a few trained ones.

Everything is computed on Fisher's scale, z = atanh ρ, where ρ is Spearman's rank correlation of
score and accuracy. The prior of z is normal, with the mean and standard deviation of the tasks of
other spaces; k trained networks are a measurement of z, and the posterior is normal again. It
answers "how probable is it that ρ is above 0.3?" for tasks like those that the prior was measured
on.

An interval must contain ρ in 95 of 100 cases whatever ρ is, even if the prior is far from it; the
quantiles of the posterior do not. `trusted` is the confidence interval of Pratt 1963, Annals of
Mathematical Statistics 34(2), and of Yu and Hoff 2018, Biometrika 105(2): it has this coverage for
every ρ, and is the shortest such interval on average over the prior. Simulations in
tests/statistics/test_posterior.py check it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from foretell.errors import ForetellError
from foretell.statistics.sample import Floats

__all__ = [
    "FEWEST",
    "Measured",
    "Posterior",
    "Prior",
    "posterior",
    "prior_of",
    "probability_ahead",
    "trusted",
]

FEWEST = 5
"""The fewest trained networks for an interval: with fewer, no order is improbable enough."""

USUAL_MEAN, USUAL_SD = 0.3, 0.4
"""The mean and standard deviation of z that are assumed without measurements. In `prior_of`, the
mean counts as one space and the deviation as two."""

GRID = np.linspace(-3.0, 3.0, 1201)
"""The values of z from which an interval is selected; ±3 is ρ = ±0.995."""


@dataclass(frozen=True)
class Prior:
    """The normal distribution of z = atanh ρ before any network is trained."""

    mean: float
    sd: float

    def __post_init__(self) -> None:
        """Raise ForetellError if `mean` or `sd` is not finite, or `sd` is not positive."""
        if not (math.isfinite(self.mean) and math.isfinite(self.sd) and self.sd > 0):
            raise ForetellError(
                f"a prior has mean {self.mean} and sd {self.sd}; expected finite numbers with sd "
                "above 0"
            )


@dataclass(frozen=True)
class Measured:
    """A rank correlation among trained networks."""

    r: float
    """The rank correlation; nan if it is undefined."""
    count: float
    """The equivalent number of networks drawn at random; less than the number of trained ones if
    these had to be weighted."""

    @property
    def z(self) -> float:
        """atanh r, with r no nearer to ±1 than 1 / k²."""
        most = 1 - 1 / self.count**2
        return math.atanh(min(max(self.r, -most), most))


@dataclass(frozen=True)
class Posterior:
    """The normal distribution of z = atanh ρ, given a measurement."""

    mean: float
    sd: float

    @property
    def rho(self) -> float:
        """The rank correlation at the mean of z."""
        return math.tanh(self.mean)

    def above(self, rho: float) -> float:
        """The probability that the rank correlation is above this value.

        >>> round(Posterior(0.5, 0.2).above(0.3), 3)
        0.83
        """
        return float(ndtr((self.mean - math.atanh(rho)) / self.sd))


def prior_of(spaces: Mapping[str, Sequence[float]]) -> Prior:
    """The prior from the rank correlations of a score on the tasks of other spaces.

    With S spaces, mₛ the mean of z over the tasks of a space, and v the mean over spaces of the
    variance within them, the mean is (Σ mₛ + 0.3) / (S + 1), and the variance is
    (S · [var(mₛ)(1 + 1/S) + v] + 2 · 0.4²) / (S + 2). Each space counts the same, regardless of its
    number of tasks.

    >>> prior_of({"one": [0.6, 0.7], "two": [0.5]})
    Prior(mean=0.543..., sd=0.319...)
    >>> prior_of({})
    Prior(mean=0.3, sd=0.4)
    """
    each = [np.arctanh(np.clip(values, -0.99, 0.99)) for values in spaces.values()]
    count = len(each)
    means = np.array([one.mean() for one in each])
    between = float(means.var(ddof=1)) * (1 + 1 / count) if count > 1 else 0.0
    within = float(np.mean([one.var() for one in each])) if each else 0.0
    variance = (count * (between + within) + 2 * USUAL_SD**2) / (count + 2)
    return Prior(float((means.sum() + USUAL_MEAN) / (count + 1)), math.sqrt(variance))


def posterior(prior: Prior, measured: Measured) -> Posterior:
    """The posterior given a measurement; for at most three networks or an undefined r, the prior.

    The variance of a measured z is (1 + ρ²/2) / (k − 3) (Bonett and Wright 2000, Psychometrika
    65(1)), plus 0.1 for at most five networks; ρ is that of the posterior, found by iteration.

    >>> posterior(Prior(0.3, 0.4), Measured(0.8, 12)).rho
    0.626...
    """
    if measured.count <= 3 or math.isnan(measured.r):
        return Posterior(prior.mean, prior.sd)
    found = Posterior(prior.mean, prior.sd)
    for _ in range(3):
        variance = (1 + found.rho**2 / 2) / (measured.count - 3) + 0.1 * (measured.count <= 5)
        weight = prior.sd**2 / (prior.sd**2 + variance)
        mean = prior.mean + weight * (measured.z - prior.mean)
        found = Posterior(mean, math.sqrt(weight * variance))
    return found


def trusted(prior: Prior, measured: Measured, level: float = 0.95) -> tuple[float, float]:
    """The confidence interval that contains ρ with probability `level`, whatever the true ρ is.

    It is (nan, nan) for fewer than `FEWEST` networks. It contains a value ζ unless the measured z
    is among the 1 − `level` of the measurements of ζ that fit ζ worst in comparison with the prior.
    These lie outside c(ζ) ± d, where c = ζ + (ζ − m)·v/s², v is the variance of a measurement, and
    m and s are the mean and standard deviation of the prior.

    >>> low, high = trusted(Prior(0.3, 0.4), Measured(0.8, 12))
    >>> round(low, 2), round(high, 2)
    (0.36, 0.94)
    >>> trusted(Prior(0.3, 0.4), Measured(0.8, 4))
    (nan, nan)
    """
    if measured.count < FEWEST or math.isnan(measured.r):
        return math.nan, math.nan
    variance = (1 + np.tanh(GRID) ** 2 / 2 * (1 - 4 / measured.count)) / (measured.count - 3)
    error, shift = np.sqrt(variance), (GRID - prior.mean) * variance / prior.sd**2
    distance = np.abs(measured.z - GRID - shift)
    fits = 1 - ndtr((shift + distance) / error) + ndtr((shift - distance) / error)
    inside = GRID[fits > 1 - level]
    if not len(inside):  # the measurement lies beyond the grid
        inside = np.array([math.copysign(GRID[-1], measured.z)])
    return limit(inside[0]), limit(inside[-1])


def limit(z: float) -> float:
    """The rank correlation tanh z; at the ends of the grid, it is ±1."""
    return math.copysign(1.0, z) if abs(z) >= GRID[-1] else math.tanh(z)


def probability_ahead(
    priors: tuple[Prior, Prior], measured: tuple[Measured, Measured], alike: float
) -> float:
    """The probability that the first score ranks networks better than the second.

    `alike` is the rank correlation of the two scores in the pool, which is also the prior
    correlation of their z. The measurements are of the same networks, so their errors are
    correlated like those of two dependent correlations (Steiger 1980, Psychological Bulletin
    87(2)).

    >>> same = Prior(0.4, 0.3), Prior(0.4, 0.3)
    >>> probability_ahead(same, (Measured(0.7, 20), Measured(0.7, 20)), 0.5)
    0.5
    >>> probability_ahead(same, (Measured(0.8, 20), Measured(0.2, 20)), 0.5) > 0.95
    True
    """
    alike = min(max(alike, -0.999), 0.999)
    means = np.array([prior.mean for prior in priors])
    before = covariance([prior.sd for prior in priors], alike)
    count = min(one.count for one in measured)
    after = before
    if count > 3 and not any(math.isnan(one.r) for one in measured):
        found = [posterior(prior, one) for prior, one in zip(priors, measured, strict=True)]
        first, second = (one.rho for one in found)
        errors = [
            math.sqrt((1 + one.rho**2 / 2) / (count - 3) + 0.1 * (count <= 5)) for one in found
        ]
        noise = covariance(errors, dependent(first, second, alike))
        gain = before @ np.linalg.inv(before + noise)
        means = means + gain @ (np.array([one.z for one in measured]) - means)
        after = before - gain @ before
    spread = math.sqrt(max(after[0, 0] + after[1, 1] - 2 * after[0, 1], 1e-12))
    return float(ndtr((means[0] - means[1]) / spread))


def covariance(errors: Sequence[float], correlation: float) -> Floats:
    """The covariance matrix of two variables."""
    first, second = errors
    both = correlation * first * second
    return np.array([[first**2, both], [both, second**2]])


def dependent(first: float, second: float, alike: float) -> float:
    """The correlation of the errors of two correlations with the same third variable."""
    rest = 1 - first**2 - second**2
    both = alike * rest - first * second / 2 * (rest - alike**2)
    return min(max(both / ((1 - first**2) * (1 - second**2)), -0.999), 0.999)
