"""log_rank: the sum of the logarithms of relative ranks, which punishes a bad rank in any score.

The aggregation of Lee and Ham 2024, "AZ-NAS", arXiv:2403.19232, for any scores.
"""

import numpy as np
import pandas as pd

from foretell.rankings.ranking import oriented

__all__ = ["log_rank"]


def log_rank(scores: pd.DataFrame) -> "pd.Series[float]":
    """Σ over the columns of log(rank / m), m being the number of networks; at most 0, the best.

    Ranks are counted from the worst network, 1, to the best, m; equal scores share the mean of
    their ranks. A network with an undefined score is ranked by its other scores: each column is
    ranked among the networks in which it is defined, and the sum over a network's defined columns
    is divided by their number and multiplied by the number of all columns. nan for a network whose
    scores are all undefined.

    >>> log_rank(pd.DataFrame({"snip": [1.0, 2.0], "flops": [8.0, 4.0]})).round(3).tolist()
    [-0.693, -0.693]
    >>> log_rank(pd.DataFrame({"snip": [1.0, 2.0], "flops": [8.0, np.nan]})).round(3).tolist()
    [-0.693, 0.0]
    """
    ranks = oriented(scores).rank(method="average")
    logs = np.log(ranks / ranks.count())
    total: pd.Series[float] = logs.mean(axis=1) * logs.shape[1]
    return total.rename("log_rank")
