"""The Pareto front of several objectives, and the area that it dominates."""

import numpy as np
import numpy.typing as npt

__all__ = ["hypervolume", "undominated"]

Points = npt.NDArray[np.float64]


def undominated(points: Points) -> npt.NDArray[np.bool_]:
    """For each point, whether no other point is as good in every column and better in one.

    Lower is better. A point with nan counts as dominated.

    >>> undominated(np.array([[1.0, 3.0], [2.0, 2.0], [2.0, 3.0]]))
    array([ True,  True, False])
    """
    known = np.logical_not(np.any(np.isnan(points), axis=1))
    as_good = np.all(points[:, None] <= points[None], axis=2)
    better = np.any(points[:, None] < points[None], axis=2)
    dominated = np.any(as_good & better & known[:, None], axis=0)
    return np.asarray(known & ~dominated, dtype=np.bool_)


def hypervolume(points: Points, reference: tuple[float, float]) -> float:
    """The area between `reference` and the Pareto front of points [n, 2]; lower points are better.

    >>> hypervolume(np.array([[0.0, 1.0], [1.0, 0.0]]), (2.0, 2.0))
    3.0
    """
    area, right = 0.0, reference[1]
    for x, y in sorted(map(tuple, points[undominated(points)])):
        area += max(reference[0] - x, 0.0) * max(right - y, 0.0)
        right = min(right, y)
    return float(area)
