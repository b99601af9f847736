"""A ranking and its metadata."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from foretell.proxies import higher_is_better

__all__ = ["Ranking", "by_points", "oriented", "without"]

Column = Callable[[pd.DataFrame], "pd.Series"]
"""A function from a table with one column per member to a column with the same index."""


@dataclass(frozen=True)
class Ranking:
    """An order of networks by several scores, which depends on all networks of the pool."""

    name: str
    summary: str
    source: str
    members: tuple[str, ...]
    """The names of scores or of other rankings."""
    points: Column
    """The points of each network; higher is better, and nan is last."""
    places: Column | None = None
    """A function that returns ranks from 1 (best); None to rank by the points."""
    drops: bool = True
    """Whether a network with an undefined member is ranked by its other members; otherwise it loses
    to every network in which the member is defined."""


def without(ranking: Ranking, member: str) -> Ranking:
    """The ranking without one of its members."""
    return replace(ranking, members=tuple(name for name in ranking.members if name != member))


def by_points(points: "pd.Series[float]") -> "pd.Series[int]":
    """Ranks from 1, the most points; equal points share a rank, and nan is last.

    >>> by_points(pd.Series([1.0, 3.0, 3.0, float("nan")])).tolist()
    [3, 1, 1, 4]
    """
    return points.fillna(-np.inf).rank(ascending=False, method="min").astype(int)


def oriented(scores: pd.DataFrame) -> pd.DataFrame:
    """The scores, negated where lower is better, so that higher is better in every column."""
    signs = [-1 if higher_is_better(str(name)) is False else 1 for name in scores]
    return scores.astype(float) * signs
