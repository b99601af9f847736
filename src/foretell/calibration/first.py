"""Select the first candidates to train: spread over the whole pool, not only its top.

Such a spread shows whether a score ranks networks at all; and the network with the highest score is
seldom the best.
"""

import numpy as np
import pandas as pd

from foretell.statistics.sample import Groups

__all__ = ["spread_over"]

SIZES = ("params", "flops")


def spread_over(ranks: pd.DataFrame, leader: str, trained: Groups, count: int) -> list[int]:
    """The positions of `count` candidates in the pool, in the order in which to train them.

    The pool is sorted by the score `leader` and divided into as many equal parts as there will be
    trained networks. Each part without a trained network contributes one candidate: the one that
    differs most from those chosen so far in the leading score, in size, and in the disagreement
    between scores. The highest part contributes its best candidate by the leading score.

    >>> ranks = pd.DataFrame({"ensemble": [0.1, 0.3, 0.5, 0.7, 0.9]})
    >>> spread_over(ranks, "ensemble", np.array([], dtype=int), 3)
    [4, 0, 2]
    """
    left = len(ranks) - len(trained)
    count = min(count, left)
    axes = axes_of(ranks, leader)
    parts = np.array_split(np.argsort(-axes[:, 0], kind="stable"), len(trained) + count)
    chosen = [int(place) for place in trained]
    empty = [part for part in parts if not set(part) & set(chosen)][:count]
    found: list[int] = []
    for part in ends_first(empty):
        best = farthest(axes, part, chosen) if chosen or part is not parts[0] else int(part[0])
        best = int(part[0]) if part is parts[0] else best
        found.append(best)
        chosen.append(best)
    return found


def ends_first(parts: list[Groups]) -> list[Groups]:
    """The parts in the order highest, lowest, middle, and then the rest from the top."""
    order = [0, len(parts) - 1, len(parts) // 2, *range(len(parts))]
    return [parts[at] for at in dict.fromkeys(order) if 0 <= at < len(parts)]


def axes_of(
    ranks: pd.DataFrame, leader: str
) -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
    """Relative ranks [candidates, 3]: by the leading score, by size, by disagreement of scores."""
    own = ranks[leader].to_numpy(dtype=float)
    size = next((ranks[name].to_numpy(dtype=float) for name in SIZES if name in ranks), own)
    others = ranks.drop(columns=leader)
    spread = others.std(axis=1, ddof=0) if others.shape[1] > 1 else pd.Series(np.zeros(len(own)))
    return np.stack([own, size, spread.rank(pct=True).to_numpy(dtype=float)], axis=1)


def farthest(
    axes: "np.ndarray[tuple[int, int], np.dtype[np.float64]]", part: Groups, chosen: list[int]
) -> int:
    """The member of `part` whose distance from the nearest chosen candidate is largest."""
    if not chosen:
        return int(part[0])
    distance = np.linalg.norm(axes[part][:, None] - axes[chosen][None], axis=2).min(axis=1)
    return int(part[int(distance.argmax())])
