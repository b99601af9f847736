"""mean_rank: the mean of relative ranks, in which all scores have the same weight."""

import pandas as pd

from foretell.rankings.ranking import oriented

__all__ = ["mean_rank"]


def mean_rank(scores: pd.DataFrame) -> "pd.Series[float]":
    """The mean over the columns of rank / m, m being the number of networks; at most 1, the best.

    Ranks are counted from the worst network, 1, to the best, m; equal scores share the mean of
    their ranks. A network with an undefined score is ranked by its other scores, and each column is
    ranked among the networks in which it is defined. nan for a network whose scores are all
    undefined.

    >>> mean_rank(pd.DataFrame({"snip": [1.0, 2.0], "flops": [8.0, 4.0]})).tolist()
    [0.75, 0.75]
    """
    ranks = oriented(scores).rank(method="average")
    means: pd.Series[float] = (ranks / ranks.count()).mean(axis=1)
    return means.rename("mean_rank")
