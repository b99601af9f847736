"""Statistics of the top: the smallest and the largest possible top."""

import pytest

from foretell import ForetellError
from foretell.statistics.correlations import spearman
from foretell.statistics.tops import best_in_top, precision_at, top_overlap, within_top

SCORES, TRUTH = [4.0, 1.0, 3.0, 2.0], [4.0, 3.0, 1.0, 2.0]


def test_the_best_one_alone() -> None:
    assert precision_at(SCORES, TRUTH, 1) == 1
    assert precision_at([0.0, 9.0, 1.0, 2.0], TRUTH, 1) == 0
    assert best_in_top(SCORES, TRUTH, best=1, share=0.25) == 1
    with pytest.raises(ForetellError, match="number of best networks is 0"):
        precision_at(SCORES, TRUTH, 0)


def test_a_share_of_one_is_all() -> None:
    assert top_overlap(SCORES, TRUTH, share=1) == 1
    assert best_in_top(SCORES, TRUTH, best=3, share=1) == 3
    assert within_top(spearman, SCORES, TRUTH, share=1) == spearman(SCORES, TRUTH)
    for share in (0, -0.1, 1.01):
        with pytest.raises(ForetellError, match=f"share is {share}; expected"):
            top_overlap(SCORES, TRUTH, share=share)


def test_a_share_is_rounded_and_at_least_one_network() -> None:
    assert top_overlap(SCORES, TRUTH, share=0.01) == 1  # the best one of four
    assert best_in_top(SCORES, TRUTH, best=2, share=0.3) == 1  # 1.2 of four is rounded to one
