"""What each member of a ranking adds."""

import numpy as np
import pandas as pd
import pytest

from foretell.rankings import RANKINGS, points, scores_of
from foretell.statistics.correlations import spearman
from foretell.studies.members import members_table

NAMES = [f"net{number}" for number in range(80)]
TRUTH = pd.Series(np.random.default_rng(0).normal(size=80), NAMES)


def scored(*noisy: str) -> pd.DataFrame:
    """All members of rankings, similar to the truth except the `noisy` ones."""
    generator = np.random.default_rng(1)
    names = dict.fromkeys(name for one in RANKINGS.values() for name in scores_of(one))
    return pd.DataFrame(
        {name: TRUTH * (name not in noisy) + generator.normal(size=80) for name in names}
    )


@pytest.mark.parametrize("name", ["vote", "az_nas", "anchored"])
def test_without_a_member_is_the_ranking_of_the_others(name: str) -> None:
    scores, ranking = scored(), RANKINGS[name]
    table = members_table(scores, TRUTH).loc[name]
    assert list(table.index) == list(ranking.members)
    whole = float(spearman(points(ranking, scores).to_numpy(), TRUTH.to_numpy()))
    assert (table["spearman"] == whole).all()
    assert (table["spearman"] - table["without"]).equals(table["adds"])
    for member in ranking.members:
        others = scores[[one for one in ranking.members if one != member]]
        rest = float(spearman(ranking.points(others).to_numpy(), TRUTH.to_numpy()))
        assert table.loc[member, "without"] == pytest.approx(rest)


def test_a_member_that_is_noise_adds_less_than_the_others() -> None:
    adds = members_table(scored("snip"), TRUTH).loc["vote", "adds"]
    assert adds.idxmin() == "snip"
    assert adds["snip"] < 0


def test_the_direction_of_the_truth_counts() -> None:
    scores = scored()
    upward, downward = (
        members_table(scores, TRUTH),
        members_table(scores, -TRUTH, more_is_better=False),
    )
    pd.testing.assert_frame_equal(upward, downward)


def test_there_is_none_without_a_whole_ranking() -> None:
    assert members_table(scored()[["snip", "synflow"]], TRUTH).empty
