"""Use the results of networks that were not trained to the end.

On the scale of normal scores, an early result e is modelled as a noisy linear function of the
result y of the full training: e = r y + √(1 − r²) ε, where r is the rank correlation of the two.
The correlation is estimated from the networks with both results, and from published learning curves
(`bench/early.py`). The prediction for a network that only has an early result is updated by Bayes'
rule.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
import pandas as pd
from scipy.special import ndtri

from foretell.statistics.correlations import spearman
from foretell.statistics.posterior import Measured, Prior, posterior
from foretell.statistics.representative import relative_ranks
from foretell.statistics.sample import Floats, Groups

__all__ = ["Early", "early_prior", "early_results", "informed"]

FEWEST_PAIRS = 4
"""The fewest networks with both results from which r is estimated."""
LEAST = 0.05
"""Early results with a smaller r are ignored."""


@dataclass(frozen=True, eq=False)
class Early:
    """The results at one epoch before the last one."""

    epoch: int
    places: Groups
    """The positions of all candidates with a result at this epoch, including those trained
    further."""
    values: Floats
    """The results of these candidates; higher is better."""
    ended: Groups
    """The positions of the candidates whose training ended at this epoch."""
    r: float
    """The estimated rank correlation with the results of the full training."""
    pairs: int
    """The number of networks with both results."""

    @classmethod
    def of(
        cls,
        epoch: int,
        values: "pd.Series[float]",
        ended: "pd.Index[str]",
        full: "pd.Series[float]",
        names: "pd.Index[str]",
        prior: Prior,
    ) -> "Early":
        """Summarise the results `values` at an epoch; `full` has the results of full trainings."""
        both = full.index.intersection(values.index)
        r = float(np.tanh(prior.mean))
        if len(both) >= FEWEST_PAIRS:
            seen = spearman(values[both].to_numpy(dtype=float), full[both].to_numpy(dtype=float))
            r = posterior(prior, Measured(float(seen), len(both))).rho
        places, each = names.get_indexer(values.index), np.asarray(values, dtype=np.float64)
        return cls(epoch, places, each, names.get_indexer(ended), r, len(both))


def early_prior() -> Prior:
    """The prior of r, measured on published learning curves."""
    content = json.loads((files("foretell.calibration") / "prior.json").read_text("utf-8"))
    return Prior(content["early"]["mean"], content["early"]["sd"])


def early_results(
    by_epoch: Mapping[int, "pd.Series[float]"], full: "pd.Series[float]", names: "pd.Index[str]"
) -> list[Early]:
    """The results at each epoch at which some networks ended, the latest epoch first.

    `by_epoch` has the results at these epochs by name, and `full` those of the full trainings.
    """
    found, later = [], full.index
    for epoch in sorted(by_epoch, reverse=True):
        ended = by_epoch[epoch].index.difference(later)
        found.append(Early.of(epoch, by_epoch[epoch], ended, full, names, early_prior()))
        later = later.union(ended)
    return found


def informed(mean: Floats, error: Floats, early: Early) -> Floats:
    """The expected results of all candidates, updated by the early results.

    `mean` and `error` are the prediction without them, as normal scores in the pool. If the early
    results deviate from it by more than `error` allows, `error` is scaled up to match.

    >>> one = Early(4, np.array([0, 1]), np.array([0.2, 0.7]), np.array([1]), 0.8, 9)
    >>> informed(np.zeros(3), np.ones(3), one).round(2).tolist()
    [0.0, 0.54, 0.0]
    """
    if early.r < LEAST:
        return mean
    noise = (1 - early.r**2) / early.r**2
    score = pd.Series(ndtri(relative_ranks(early.values)), early.places)[early.ended].to_numpy()
    surprise, variance = score / early.r - mean[early.ended], error[early.ended] ** 2
    seen = float(np.mean(surprise**2)) - noise
    variance *= max(seen / float(variance.mean()), 1.0)
    found = mean.copy()
    found[early.ended] += variance / (variance + noise) * surprise
    return found
