"""The Pareto front, and the area that it dominates."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from foretell.searching.pareto import hypervolume, undominated


@given(st.lists(st.tuples(*[st.integers(0, 6)] * 3), min_size=1, max_size=25))
def test_the_front_consists_of_the_points_that_no_other_dominates(
    rows: list[tuple[int, ...]],
) -> None:
    points = np.array(rows, dtype=float)
    for row, good in zip(rows, undominated(points), strict=True):
        as_good = (all(map(int.__le__, one, row)) and one != row for one in rows)
        assert good == (not any(as_good))
    assert not undominated(np.array([[np.nan, 0.0]]))[0]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=12))
def test_the_hypervolume_is_the_area(rows: list[tuple[int, int]]) -> None:
    cells = itertools.product(range(8), range(8))
    area = sum(any(x <= i and y <= j for x, y in rows) for i, j in cells)
    assert hypervolume(np.array(rows, dtype=float), (8.0, 8.0)) == area
