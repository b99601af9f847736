"""The vote: its predicate on small cases, and its ranking against a simple count of all pairs."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell import ForetellError
from foretell.rankings.vote import VOTERS, prefers, vote, wins

scores_of_networks = st.lists(
    st.tuples(*[st.sampled_from([0.0, 1.0, 2.0, 3.0, np.nan])] * 3), min_size=1, max_size=8
).map(lambda rows: pd.DataFrame(rows, columns=list(VOTERS)))


def majority(a: pd.Series, b: pd.Series) -> bool:
    """At least two of three scores prefer a to b; an undefined score loses to any number."""
    low = -np.inf
    votes = [
        (low if np.isnan(x) else x) > (low if np.isnan(y) else y) for x, y in zip(a, b, strict=True)
    ]
    return sum(votes) >= 2


@given(scores_of_networks)
def test_ranks_follow_the_count_of_all_pairs(scores: pd.DataFrame) -> None:
    """Rows are ranked by Copeland's wins, then by the rank sum; equal rows share a rank."""
    count = dict.fromkeys(scores.index, 0)
    for i, j in combinations(scores.index, 2):
        count[i] += majority(scores.loc[i], scores.loc[j])
        count[j] += majority(scores.loc[j], scores.loc[i])
    assert wins(scores).to_dict() == count

    filled = scores.fillna(-np.inf)
    rank_sum = sum(filled[voter].rank(ascending=False) for voter in VOTERS)
    place = {i: (-count[i], rank_sum[i]) for i in scores.index}
    expected = {i: 1 + sum(place[j] < place[i] for j in place) for i in place}
    assert vote(scores).to_dict() == expected


@given(scores_of_networks)
def test_the_predicate_is_a_strict_majority(scores: pd.DataFrame) -> None:
    """The predicate is never true in both directions."""
    for i in scores.index:
        assert not prefers(scores, i, i)
        for j in scores.index:
            assert prefers(scores, i, j) == (i != j and majority(scores.loc[i], scores.loc[j]))
            assert not (prefers(scores, i, j) and prefers(scores, j, i))


def test_a_missing_voter_is_named() -> None:
    """The error names the missing column."""
    with pytest.raises(ForetellError, match="missing: 'snip'"):
        vote(pd.DataFrame({"synflow": [1.0], "jacob_cov": [1.0]}))


def test_wins_of_more_networks_than_are_compared_at_once() -> None:
    """The wins agree with a loop over all pairs for one block, for two, and for part of a third."""
    generator = np.random.default_rng(0)
    for count in (65, 128, 150):
        scores = pd.DataFrame(generator.integers(9, size=(count, 3)), columns=list(VOTERS))
        rows = scores.to_numpy()
        expected = [sum((rows[i] > rows[j]).sum() >= 2 for j in range(count)) for i in range(count)]
        assert wins(scores).tolist() == expected
