"""first_then: lexicographic order by several scores; each one breaks the ties of those before."""

import pandas as pd

from foretell.rankings.ranking import oriented

__all__ = ["first_then"]


def first_then(scores: pd.DataFrame) -> "pd.Series[float]":
    """The lexicographic rank of each network by the columns in turn, from 1, the worst.

    Networks that are equal in all columns share a rank. An undefined score is lower than any
    number. nan for a network whose scores are all undefined.

    >>> first_then(pd.DataFrame({"layers": [2, 2, 3], "snip": [1.0, 4.0, 0.0]})).tolist()
    [1.0, 2.0, 3.0]
    """
    values = oriented(scores).fillna(float("-inf"))
    keys = pd.Series(list(values.itertuples(index=False, name=None)), index=scores.index)
    place = {key: float(index) for index, key in enumerate(sorted(set(keys)), start=1)}
    return keys.map(place).where(scores.notna().any(axis=1)).rename("first_then")
