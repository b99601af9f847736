"""Predict the result of each candidate from all scores and the results so far.

The model is the Gaussian process of the searcher `guided`: its prior mean is the prediction of the
ensemble, and it learns from the results what the other scores add to it. Its probabilities are
overconfident, so they are calibrated on published benchmarks. `bench/candidates.py` measures this
correction, leaving one space out at a time.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit, logit, ndtr, ndtri

from foretell.calibration.early import Early, informed
from foretell.searchers.guided import TRUST
from foretell.searchers.process import Process, fitted_kernel, noise_of, usual_kernel
from foretell.statistics.posterior import FEWEST
from foretell.statistics.representative import Weighted, midpoints
from foretell.statistics.sample import Floats, Groups

__all__ = ["COLUMNS", "Expected", "candidates", "corrected", "expected"]

COLUMNS = ("rank", "p_top_10")

FITTED = 20
"""The fewest results to which the kernel is fitted; with fewer, it would be overconfident."""

MOST = 0.5
"""The largest probability that is reported; larger ones were wrong on published benchmarks."""

SHARES = {"p_top_10": 0.10}
"""The shares of the pool for which a probability is reported. For the best 5 %, it was
inaccurate."""
NEAREST = 1e-6
"""The distance that probabilities keep from 0 and 1."""


@dataclass(frozen=True, eq=False)
class Expected:
    """The normal distribution of each candidate's result, which is a normal score in the pool."""

    mean: Floats
    error: Floats

    def above(self, share: float) -> Floats:
        """For each candidate, the probability that it is in the best `share` of the pool.

        The threshold is the value that this share of the pool is expected to exceed.
        """

        def excess(at: float) -> float:
            return float(ndtr((self.mean - at) / self.error).mean() - share)

        threshold = brentq(excess, -20.0, 20.0)
        return np.asarray(ndtr((self.mean - threshold) / self.error), dtype=np.float64)


def expected(
    ranks: pd.DataFrame, leader: str, places: Groups, truth: Floats, weights: Floats
) -> Expected:
    """The predicted results of all candidates, given the results `truth` of those at `places`.

    `ranks` has the relative ranks in the pool by each score, and by the ensemble in the column
    `leader`; `weights` has one weight per result (see `foretell.statistics.representative`).
    """
    scores = [name for name in ranks if name != leader and np.ptp(ranks[name]) > 0]
    features = ndtri(ranks[scores].to_numpy(dtype=np.float64)) / np.sqrt(max(len(scores), 1))
    if not scores:
        features = np.zeros((len(ranks), 1))
    process = Process(features, TRUST * ndtri(ranks[leader].to_numpy(dtype=np.float64)))
    order = np.argsort(places)
    rows = places[order]
    values = ndtri(midpoints(truth, weights))[order] if len(rows) else np.zeros(0)
    kernel = usual_kernel()
    if len(rows) >= FITTED:
        kernel = fitted_kernel(features[rows], values - process.prior[rows])
    mean, error = process.predicted(rows, values, kernel)
    return Expected(mean, np.sqrt(error**2 + noise_of(kernel)))


def corrected(probability: Floats, intercept: float, slope: float) -> Floats:
    """The probabilities after a logistic correction, at most `MOST`.

    The logit of the corrected probability is `intercept` + `slope` × the logit of the given one.

    >>> corrected(np.array([0.5, 0.999]), -1.0, 0.5).round(3).tolist()
    [0.269, 0.5]
    """
    given = logit(np.clip(probability, NEAREST, 1 - NEAREST))
    return np.asarray(np.minimum(expit(intercept + slope * given), MOST), dtype=np.float64)


def candidates(
    ranks: pd.DataFrame,
    leader: str,
    places: Groups,
    truth: Floats,
    by: Weighted,
    helps: bool,
    early: Sequence[Early] = (),
) -> pd.DataFrame:
    """The untrained candidates with `COLUMNS`, the one with the best expected result first.

    Candidates with an `early` result are ranked by it; they have its `epoch`, but no probability.
    The probabilities are nan unless the ensemble helps here, since they were inaccurate on other
    tasks. The rank has no interval, since with few scores such intervals were too narrow.
    """
    found = expected(ranks, leader, places, truth, by.weights)
    table = pd.DataFrame(index=ranks.index.rename("candidate"))
    mean = found.mean
    for one in early:
        mean = informed(mean, found.error, one)
    table["rank"] = pd.Series(-mean, ranks.index).round(9).rank(method="min").to_numpy()
    for name, share in SHARES.items():
        table[name] = corrected(found.above(share), *corrections()[name])
    if not helps or len(places) < FEWEST or not by.covered:
        table[list(COLUMNS[1:])] = np.nan
    for one in early:
        table.loc[ranks.index[one.ended], list(COLUMNS[1:])] = np.nan
        table.loc[ranks.index[one.ended], "epoch"] = one.epoch
    left = table.drop(index=ranks.index[places])
    return left.sort_values("rank", kind="stable").astype({"rank": int})


@cache
def corrections() -> dict[str, Any]:
    """The intercept and slope of each correction, measured on published benchmarks."""
    content = json.loads((files("foretell.calibration") / "prior.json").read_text("utf-8"))
    return dict(content["corrections"])
