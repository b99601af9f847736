"""A Gaussian process on the features of candidates, and the expected improvement."""

import math
import random
import warnings
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from foretell.statistics.representative import relative_ranks
from foretell.statistics.sample import Floats

__all__ = ["Process", "improvement", "normal_scores"]

Rows: TypeAlias = "NDArray[np.int_]"

LEAST, GROWTH = 10, 1.6
"""The kernel, which has three free parameters, is fitted to ten results, and again each time their
number has grown by this factor."""


@dataclass(frozen=True, eq=False)
class Process:
    """A Gaussian process of scikit-learn for the deviation of results from their prior mean.

    Its kernel is the sum of a constant, a linear part, a smooth part and noise, whose variances and
    length scale are fitted by maximum likelihood within limits.
    """

    features: Floats
    """The features of the candidates, [candidates, features]."""
    prior: Floats
    """The prior mean of each candidate's result, as a normal score."""
    _fitted: dict[int, Any] = field(default_factory=dict)

    def predicted(self, rows: Rows, values: Floats, fitted: Any) -> tuple[Floats, Floats]:
        """Mean and standard deviation of each candidate's result, without the training noise.

        `values` are the results of the candidates `rows`, and `fitted` is a kernel.
        """
        process = regressor(fitted, optimizer=None)
        if len(rows):
            process.fit(self.features[rows], values - self.prior[rows])
        mean, error = process.predict(self.features, return_std=True)
        return self.prior + mean, np.sqrt(np.maximum(error**2 - noise_of(fitted), 1e-12))

    def kernel(self, rows: Rows, results: Floats) -> Any:
        """The kernel for these results: fitted to the first of them, or the usual one if few.

        It depends only on the results and their order, so an interrupted search repeats it.
        """
        if len(rows) < LEAST:
            return usual_kernel()
        times = math.floor(math.log(len(rows) / LEAST) / math.log(GROWTH) + 1e-9)
        count = min(math.ceil(LEAST * GROWTH**times - 1e-9), len(rows))
        if count not in self._fitted:
            first = rows[:count]
            residual = normal_scores(results[:count]) - self.prior[first]
            self._fitted[count] = fitted_kernel(self.features[first], residual)
        return self._fitted[count]


def usual_kernel() -> Any:
    """The kernel before any fit; the sum of its variances is about 1."""
    kernels = library().kernels
    constant = kernels.ConstantKernel
    return (
        constant(0.3, "fixed")
        + constant(0.2, (0.02, 2.0)) * kernels.DotProduct(0.0, "fixed")
        + constant(0.4, (0.05, 2.0)) * kernels.Matern(1.0, (0.3, 5.0), nu=2.5)
        + kernels.WhiteKernel(0.1, (0.02, 1.0))
    )


def noise_of(kernel: Any) -> float:
    """The variance of the training noise in a kernel."""
    return float(kernel.get_params()["k2__noise_level"])


def regressor(kernel: Any, **settings: Any) -> Any:
    """A deterministic regressor of scikit-learn."""
    return library().GaussianProcessRegressor(kernel, random_state=0, **settings)


def library() -> Any:
    """scikit-learn's Gaussian processes, imported on demand without changing the generator."""
    state = random.getstate()
    try:
        import sklearn.gaussian_process
    finally:
        random.setstate(state)
    return sklearn.gaussian_process


def fitted_kernel(features: Floats, residual: Floats) -> Any:
    """The kernel with the maximum likelihood of the results."""
    process = regressor(usual_kernel())
    with warnings.catch_warnings():  # a parameter may be at its limit
        warnings.filterwarnings("ignore", category=UserWarning, module="sklearn")
        return process.fit(features, residual).kernel_


def normal_scores(values: Floats) -> Floats:
    """The normal quantiles of the relative ranks, so that no outlier dominates.

    >>> normal_scores(np.array([50.0, 93.0, 92.0])).round(2).tolist()
    [-0.97, 0.97, 0.0]
    """
    return np.asarray(ndtri(relative_ranks(values)) if len(values) else values, dtype=np.float64)


def improvement(mean: Floats, error: Floats, best: float) -> Floats:
    """The expected improvement over `best`: σ (z Φ(z) + φ(z)), with z = (mean − best) / σ.

    >>> improvement(np.array([0.0, 1.0]), np.array([1.0, 0.1]), 0.0).round(3).tolist()
    [0.399, 1.0]
    """
    z = (mean - best) / error
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return np.asarray(error * (z * ndtr(z) + density), dtype=np.float64)
