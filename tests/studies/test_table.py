"""The table of a study: each statistic in its column, and the additional rows."""

from math import isnan, nan
from typing import Any

import numpy as np
import pandas as pd
import pytest

from foretell import ForetellError
from foretell.rankings.vote import VOTERS, wins
from foretell.studies import (
    interval,
    kendall,
    majority_accuracy,
    noise_ceiling,
    pairwise_accuracy,
    partial_spearman,
    spearman,
    study_table,
)
from foretell.studies.table import STATISTICS
from tests.support.draws import same


@pytest.fixture(scope="module")
def frame() -> tuple[pd.DataFrame, pd.Series, pd.DataFrame]:
    """Scores of 120 networks, their mean truth, and the truths of three seeds."""
    generator = np.random.default_rng(3)
    arch = [f"arch {i}" for i in range(120)]
    good = generator.normal(size=120)
    seeds = pd.DataFrame(
        good[:, None] + 0.1 * generator.normal(size=(120, 3)), index=arch, columns=[7, 8, 9]
    )
    noisy = {name: good + generator.normal(size=120) for name in ("params", *VOTERS)}
    scores = pd.DataFrame({**noisy, "latency": -good, "grasp": -good, "zen": 3.0}, index=arch)
    scores.loc[arch[:5], "snip"] = nan
    return scores, 90 + seeds.mean(axis=1), seeds


DIRECTIONS = {"latency": False}


def test_a_row_has_what_the_functions_give(frame: Any) -> None:
    """Each statistic of each score is in the column of its name."""
    scores, truth, seeds = frame
    table = study_table(scores, truth, DIRECTIONS, repeats=seeds, seed=4)
    for row in scores:
        column = scores[row] * (-1 if row == "latency" else 1)
        for name, statistic in STATISTICS.items():
            assert same(table.loc[row, name], statistic(column, truth))
        expected = partial_spearman(column, truth, scores["params"])
        assert same(table.loc[row, "partial_spearman"], expected)
    alone = interval(kendall, scores["synflow"], truth, seed=4)
    row = table.loc["synflow"]
    assert (row["kendall_low"], row["kendall_high"]) == (alone.low, alone.high)
    assert table["n"].unique().tolist() == [120]


def test_the_table_shows_what_is_wrong(frame: Any) -> None:
    """A reversed score is "wrong", undefined ones are counted, and a constant has a reason."""
    scores, truth, _ = frame
    table = study_table(scores, truth, DIRECTIONS)
    assert table.loc["grasp", "spearman"] < -0.9
    assert table["sign"].to_dict() | {"latency": "right", "grasp": "wrong", "zen": "undefined"} == (
        table["sign"].to_dict()
    )
    assert table["undefined"].to_dict()["snip"] == 5
    assert table.loc["zen", "why"] == "the score is the same for every network"
    assert isnan(table.loc["zen", "spearman"])
    assert table.loc["synflow", "why"] == ""


def test_the_baselines_the_vote_and_the_ceiling_have_rows(frame: Any) -> None:
    """Each of these rows has its own kind."""
    scores, truth, seeds = frame
    table = study_table(scores, truth, DIRECTIONS, repeats=seeds)
    kinds = table["kind"].to_dict()
    assert list(kinds)[-3:] == ["vote", "params", "noise ceiling"]
    assert [kinds[row] for row in ("vote", "params", "noise ceiling")] == [
        "ranking",
        "baseline",
        "ceiling",
    ]
    ballots = scores[list(VOTERS)]
    assert same(table.loc["vote", "spearman"], spearman(wins(ballots), truth))
    assert same(table.loc["vote", "pairwise_accuracy"], majority_accuracy(ballots, truth))
    assert table.loc["vote", "pairwise_accuracy"] != pairwise_accuracy(wins(ballots), truth)
    assert same(table.loc["noise ceiling", "spearman"], noise_ceiling(seeds).value)
    assert isnan(table.loc["params", "partial_spearman"])  # controlled for itself

    without = scores.drop(columns="params")
    given = study_table(without, truth, DIRECTIONS, params=scores["params"])
    assert same(given.loc["synflow", "partial_spearman"], table.loc["synflow", "partial_spearman"])
    assert "params" in given.index
    bare = study_table(without.drop(columns="snip"), truth, DIRECTIONS)
    assert bare["partial_spearman"].isna().all()
    assert not {"vote", "params", "noise ceiling"} & set(bare.index)


def test_less_can_be_better(frame: Any) -> None:
    """With errors instead of accuracies, the table is the same."""
    scores, truth, seeds = frame
    one = study_table(scores, truth, DIRECTIONS, repeats=seeds)
    other = study_table(scores, -truth, DIRECTIONS, repeats=-seeds, more_is_better=False)
    pd.testing.assert_frame_equal(one, other)


def test_seeds_and_batches_give_the_spread(frame: Any) -> None:
    """The spread is over repeated scores of the same networks."""
    scores, truth, _ = frame
    again = scores + np.random.default_rng(0).normal(size=scores.shape)
    table = study_table(scores, truth, DIRECTIONS, runs=[again])
    both = [spearman(run["synflow"], truth) for run in (scores, again)]
    row = table.loc["synflow"]
    assert row["runs"] == 2
    assert same(row["spearman_sd"], np.std(both, ddof=1))
    assert same([row["spearman_min"], row["spearman_max"]], sorted(both))
    with pytest.raises(ForetellError, match="a run lacks 1 of the architectures"):
        study_table(scores, truth, DIRECTIONS, runs=[again.iloc[1:]])


def test_names_join_scores_and_truth(frame: Any) -> None:
    """The order does not matter; networks without truth are left out; mistakes are refused."""
    scores, truth, _ = frame
    one = study_table(scores.iloc[:60], truth, DIRECTIONS)
    other = study_table(scores, truth.iloc[59::-1], DIRECTIONS)
    pd.testing.assert_frame_equal(one, other)
    assert one["n"].unique().tolist() == [60]
    with pytest.raises(ForetellError, match="whether higher is better for latency"):
        study_table(scores, truth)
    with pytest.raises(ForetellError, match="none of the 120 scored architectures"):
        study_table(scores, truth.add_prefix("other "), DIRECTIONS)
    with pytest.raises(ForetellError, match="'arch 0' twice"):
        study_table(pd.concat([scores, scores]), truth, DIRECTIONS)
