"""The baselines of size that every score must outperform, and strata of about equal size.

Most scores grow with the size of a network, and on many benchmarks, size alone ranks networks as
well. To see what a score adds, compare it with the sizes, and look within strata of candidates of
about equal size.
"""

import numpy as np
import pandas as pd

__all__ = ["SIZES", "agreement", "like_sizes", "strata"]

SIZES = ("params", "flops", "params_used", "flops_used", "layers", "depth")
"""The baselines that measure the size of a network."""

MOST, IN_EACH = 10, 4
"""There are at most ten strata, with four candidates or more in each on average."""


def strata(sizes: "pd.Series[float]", most: int = MOST) -> "pd.Series[int]":
    """The stratum of each candidate by size, from 1, the smallest.

    The order by size is divided into equal parts, at most `most`; candidates of the same size are
    in the same stratum. Those whose size is undefined form the last one.

    >>> strata(pd.Series([1.0, 2, 2, 3, 50, 60, 70, float("nan"), 80])).tolist()
    [1, 1, 1, 1, 2, 2, 2, 3, 2]
    """
    known = sizes.notna().to_numpy()
    count = max(1, min(most, int(known.sum()) // IN_EACH))
    middle = (sizes.rank().to_numpy() - 0.5) / max(int(known.sum()), 1)
    part = np.where(known, np.floor(np.where(known, middle, 0.0) * count), count)
    return pd.Series(np.unique(part, return_inverse=True)[1].reshape(-1) + 1, sizes.index)


def agreement(scores: pd.DataFrame) -> "pd.Series[str]":
    """For each candidate, whether the scores agree on its rank; higher is better in all columns.

    `agree`: all scores that are defined place it in the same third of the candidates; `disagree`:
    one places it in the best third and another in the worst. It is empty otherwise, and with fewer
    than two scores.

    >>> columns = {"snip": [1.0, 2, 3], "synflow": [2.0, 1, 3], "zen": [3.0, 2, 4]}
    >>> agreement(pd.DataFrame(columns, ["a", "b", "c"])).tolist()
    ['', '', 'agree']
    """
    middle = scores.rank() - 0.5
    thirds = (3 * middle / scores.notna().sum()).apply(np.floor)
    low, high = thirds.min(axis=1), thirds.max(axis=1)
    several = thirds.notna().sum(axis=1) > 1
    found = pd.Series("", scores.index, dtype=object)
    found[several & (low == high)] = "agree"
    found[several & (low == 0) & (high == 2)] = "disagree"
    return found


def like_sizes(table: pd.DataFrame) -> dict[str, float]:
    """Spearman's ρ of the order of a table (its column `rank`) with each of its sizes.

    Sizes that are equal for all candidates are left out. The result is empty for fewer than three
    candidates.

    >>> like_sizes(pd.DataFrame({"rank": [1, 2, 3], "params": [9, 8, 7], "depth": [1, 1, 1]}))
    {'params': 1.0}
    """
    order = -table["rank"].rank()
    sizes = {
        name: table[name].astype(float).fillna(-np.inf).rank() for name in SIZES if name in table
    }
    varied = {name: size for name, size in sizes.items() if size.nunique() > 1}
    if len(table) < 3 or order.nunique() < 2:
        return {}
    return {name: round(float(order.corr(size)), 12) for name, size in varied.items()}
