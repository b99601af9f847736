"""anchored: a sum of logarithms of ranks, weighted by how well each score agrees with size.

A score that is related neither to the size of the networks of a pool nor to how well they separate
inputs is seldom useful there (docs/ensemble.md).
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from foretell.rankings.ranking import oriented

__all__ = ["ANCHORS", "anchored", "weight"]

Floats = NDArray[np.float64]

ANCHORS = ("flops_used", "nwot")
"""The scores that the others are compared with."""

ONLY_ANCHORS = ("nwot",)
"""The anchors that are not members themselves."""


def anchored(scores: pd.DataFrame) -> "pd.Series[float]":
    """Σ w log(rank / m) over the columns, over Σ w, with w = max(0, ρ)²; at most 0, the best.

    Ranks are counted from the worst of the m networks that have the score, 1, to the best, m; equal
    scores share the mean of their ranks. ρ is the rank correlation in the pool of the score with
    the sum of the ranks by the anchors, where undefined scores are last. A network with an
    undefined score is ranked by the others. If no score agrees with the anchors, or there are no
    anchors, all weights are equal. nan for a network all of whose scores with a positive weight are
    undefined.

    >>> scores = pd.DataFrame({"rmin": [1.0, 2.0, 3.0], "jacob_cov": [3.0, 2.0, 1.0],
    ...                        "flops_used": [1.0, 2.0, 3.0]})
    >>> anchored(scores).round(3).tolist()  # jacob_cov has weight 0
    [-1.099, -0.405, 0.0]
    """
    given = oriented(scores)
    anchor = np.zeros(len(given))
    for name in ANCHORS:
        if name in given and given[name].notna().any():
            anchor += undefined_last(given[name])
    voters = given[[name for name in given if name not in ONLY_ANCHORS]]
    place = undefined_last(pd.Series(anchor))
    agreed = [weight(undefined_last(voters[name]), place) for name in voters]
    weights = np.array(agreed if any(agreed) else [1.0] * len(agreed))
    logs = np.log((voters.rank(method="average") / voters.count()).to_numpy())
    total, present = np.nan_to_num(logs) @ weights, np.isfinite(logs) @ weights
    points = np.divide(total, present, out=np.full(len(given), np.nan), where=present > 0)
    return pd.Series(points, index=scores.index, name="anchored")


def undefined_last(column: "pd.Series[float]") -> Floats:
    """The ranks of a column, in which undefined scores share the lowest rank."""
    return np.asarray(column.fillna(-np.inf).rank(method="average"), dtype=np.float64)


def weight(ranks: Floats, anchor: Floats) -> float:
    """max(0, ρ)² for the ranks by a score and by the anchor; 0 if either is constant.

    >>> round(weight(np.array([1.0, 3.0, 2.0]), np.array([1.0, 3.0, 2.0])), 6)
    1.0
    >>> weight(np.array([1.0, 3.0, 2.0]), np.array([3.0, 1.0, 2.0]))
    0.0
    """
    if np.ptp(ranks) == 0 or np.ptp(anchor) == 0:
        return 0.0
    return max(0.0, float(np.corrcoef(ranks, anchor)[0, 1])) ** 2
