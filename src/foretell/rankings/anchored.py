"""anchored: a sum of logarithms of ranks in which scores count as far as they agree with size.

Scores that have nothing to do with the size of the networks of a pool, nor with how well they tell
inputs apart, are seldom useful there (docs/ensemble.md).
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from foretell.rankings.ranking import oriented

__all__ = ["ANCHORS", "anchored", "weight"]

Floats = NDArray[np.float64]

ANCHORS = ("flops_used", "nwot")
"""What the scores are compared with."""

ONLY_ANCHORS = ("nwot",)
"""Of these, what is no member itself."""


def anchored(scores: pd.DataFrame) -> "pd.Series[float]":
    """Σ w log(rank / m) over the columns, over Σ w, with w = max(0, ρ)²; at most 0, the best.

    Ranks are counted from the worst of the m networks that have the score, 1, to the best, m; equal
    scores share the mean of their ranks. ρ is the rank correlation of the score, in the pool, with
    the sum of the ranks by the anchors, where undefined scores are last. A network without one of
    the scores is ranked by the others. If no score agrees with the anchors, or there are none, all
    count alike. nan if a network has no score that counts.

    >>> scores = pd.DataFrame({"rmin": [1.0, 2.0, 3.0], "jacob_cov": [3.0, 2.0, 1.0],
    ...                        "flops_used": [1.0, 2.0, 3.0]})
    >>> anchored(scores).round(3).tolist()  # jacob_cov, which disagrees, does not count
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
    """The ranks of a column, in which undefined scores share the lowest."""
    return np.asarray(column.fillna(-np.inf).rank(method="average"), dtype=np.float64)


def weight(ranks: Floats, anchor: Floats) -> float:
    """max(0, ρ)² of the ranks by a score and by the anchor; 0 if either does not vary.

    >>> round(weight(np.array([1.0, 3.0, 2.0]), np.array([1.0, 3.0, 2.0])), 6)
    1.0
    >>> weight(np.array([1.0, 3.0, 2.0]), np.array([3.0, 1.0, 2.0]))
    0.0
    """
    if np.ptp(ranks) == 0 or np.ptp(anchor) == 0:
        return 0.0
    return max(0.0, float(np.corrcoef(ranks, anchor)[0, 1])) ** 2
