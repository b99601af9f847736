"""vote: the majority of three proxies that fail on different networks.

Abdelfattah et al. 2021, arXiv:2101.08134, let synflow, jacob_cov and snip vote on which network of
a pair is better. Pairwise majorities can be cyclic, so networks are ranked by the number of pairs
they win (Copeland's method), and ties are broken by the sum of their ranks.
"""

from collections.abc import Hashable, Sequence

import numpy as np
import pandas as pd
from pandas.api.types import is_complex_dtype, is_numeric_dtype

from foretell.checks import as_instance, as_texts
from foretell.errors import ForetellError
from foretell.rankings.ranking import oriented

__all__ = ["VOTERS", "prefers", "vote", "wins"]

VOTERS = ("synflow", "jacob_cov", "snip")


def prefers(scores: pd.DataFrame, first: Hashable, second: Hashable) -> bool:
    """True if more than half of the columns score row `first` higher than row `second`.

    Equal scores, or two undefined ones, are a vote for neither row; an undefined score loses to any
    number.

    >>> scores = pd.DataFrame({"synflow": [1.0, 2], "jacob_cov": [3.0, 1], "snip": [5.0, 4]})
    >>> prefers(scores, 0, 1), prefers(scores, 1, 0)
    (True, False)
    """
    values = undefined_last(scores)
    row = {name: values.index.get_loc(name) for name in (first, second)}
    ahead = values.to_numpy()[row[first]] > values.to_numpy()[row[second]]
    return bool(2 * ahead.sum() > ahead.size)


def wins(scores: pd.DataFrame) -> pd.Series:
    """The number of other rows to which each row is preferred; higher is better.

    >>> wins(pd.DataFrame({"synflow": [1.0, 2, 0], "jacob_cov": [3.0, 1, 0], "snip": [5.0, 4, 0]}))
    0    2
    1    1
    2    0
    Name: wins, dtype: int64
    """
    places = undefined_last(scores).rank(method="dense").to_numpy(dtype=np.int32)
    columns = np.ascontiguousarray(places.T)  # integers are compared faster
    counts = np.empty(columns.shape[1], dtype=np.int64)
    for start in range(0, len(counts), 64):  # all pairs, in blocks to limit memory
        rows = slice(start, start + 64)
        ahead = np.zeros((len(counts[rows]), len(counts)), dtype=np.int16)
        for column in columns:
            ahead += column[rows, None] > column
        counts[rows] = np.count_nonzero(ahead > len(columns) // 2, axis=1)
    return pd.Series(counts, index=scores.index, name="wins")


def vote(scores: pd.DataFrame, voters: Sequence[str] = VOTERS) -> pd.Series:
    """Ranks from 1 (best), by wins, then by the sum of ranks; rows equal in both share a rank.

    Raises ForetellError if a voter's column is missing or not numeric.

    >>> a_cycle = pd.DataFrame({"synflow": [3, 2, 1], "jacob_cov": [1, 3, 2], "snip": [2, 1, 3]})
    >>> vote(a_cycle).tolist()  # each wins once
    [1, 1, 1]
    >>> vote(pd.DataFrame({"synflow": [1, 2], "jacob_cov": [3, 1], "snip": [5, 4]})).tolist()
    [1, 2]
    """
    as_instance("scores", scores, pd.DataFrame, "a DataFrame with one row per model")
    names = as_texts("voters", voters, "names of columns")
    missing = [voter for voter in names if voter not in scores]
    if missing or not names:
        raise ForetellError(
            f"vote needs the scores {', '.join(names or VOTERS)}; missing: "
            f"{', '.join(map(repr, missing)) or 'voters is empty'}"
        )
    ballots = numbers(scores[list(dict.fromkeys(names))], "scores")
    rank_sum = undefined_last(ballots).rank(ascending=False).sum(axis=1)
    order = pd.Series(list(zip(-wins(ballots), rank_sum, strict=True)), index=scores.index)
    return order.rank(method="min").astype(int).rename("vote")


def numbers(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """The table with strings that contain numbers converted to numbers.

    Raises ForetellError, which calls the table `name`, for any other value, and for two columns
    with the same name.

    >>> numbers(pd.DataFrame({"snip": ["high"]}), "scores")
    Traceback (most recent call last):
    foretell.errors.ForetellError: the column 'snip' of scores contains a value that is not a number
    (could not convert string to float: 'high'); use nan for undefined scores
    """
    if table.columns.duplicated().any():
        twice = table.columns[table.columns.duplicated()][0]
        raise ForetellError(f"{name} has several columns {twice!r}; leave all but one out")
    found = table.copy()
    for column in table:
        try:
            if not is_numeric_dtype(table[column]) or is_complex_dtype(table[column]):
                found[column] = [float(value) for value in table[column]]
        except (TypeError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            raise ForetellError(
                f"the column {column!r} of {name} contains a value that is not a number "
                f"({reason}); use nan for undefined scores"
            ) from error
    return found


def undefined_last(scores: pd.DataFrame) -> pd.DataFrame:
    """The scores, negated where lower is better, with minus infinity for undefined ones."""
    return oriented(scores).fillna(-np.inf)
