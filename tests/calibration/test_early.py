"""Results after a few epochs: what they say of candidates, and what they do not change."""

import numpy as np
import pandas as pd
import pytest

from foretell import calibrate
from foretell.calibration.early import Early, early_prior, informed
from foretell.statistics.correlations import spearman
from tests.calibration.test_calibrate import pool, some


def curves(
    truth: "pd.Series[float]", full: int, brief: int, noise: float, epoch: int = 3, seed: int = 0
) -> pd.DataFrame:
    """Curves of `full` networks to epoch 9, and of `brief` others to an earlier epoch."""
    drawn = truth.sample(full + brief, random_state=seed)
    spread = noise * np.random.default_rng(seed).normal(size=len(drawn))
    early = (drawn - 20 + spread).reset_index().assign(epoch=epoch)
    return pd.concat([early, drawn.head(full).reset_index().assign(epoch=9)], ignore_index=True)


def names_of(given: pd.DataFrame, epoch: int) -> list[str]:
    """The networks that ended at an epoch."""
    ends = given.groupby("model")["epoch"].max()
    return list(ends[ends == epoch].index)


def test_the_correction_is_what_bayes_says_of_draws() -> None:
    """Of many networks, those whose early result is near the given one have this mean result."""
    generator, r, m, s = np.random.default_rng(0), 0.7, 0.5, 0.8
    y = m + s * generator.normal(size=400_000)
    e = r * y + np.sqrt(1 - r**2) * generator.normal(size=len(y))
    ranked = Early(1, np.arange(3), np.array([1.0, 2.0, 3.0]), np.array([2]), r, 9)
    found = informed(np.full(3, m), np.full(3, s), ranked)
    assert found[:2].tolist() == [m, m]
    near = np.abs(e - 0.967) < 0.05  # the normal score of the highest of three
    assert found[2] == pytest.approx(y[near].mean(), abs=0.02)


def test_networks_that_were_stopped_are_ordered_by_what_they_reached() -> None:
    """Also where the scores say nothing."""
    gains = []
    for seed in range(5):
        scores, truth = pool(0.0, seed)
        given = curves(truth, 20, 40, 2.0, seed=seed)
        brief = names_of(given, 3)
        found = calibrate(scores, given)
        places = found.candidates["rank"][brief].to_numpy(dtype=float)
        assert (found.candidates["epoch"].dropna() == 3).all()
        assert set(found.candidates["epoch"].dropna().index) == set(brief)
        gains.append(float(spearman(-places, truth[brief].to_numpy())))
        assert "40 networks ended at epoch 3" in " ".join(found.statement)
        assert "left out" not in " ".join(found.statement)
    assert np.mean(gains) > 0.7


def test_early_results_that_say_nothing_change_little() -> None:
    scores, truth = pool(0.8)
    noisy = curves(truth, 30, 40, 500.0)
    brief = names_of(noisy, 3)
    found = calibrate(scores, noisy).candidates
    assert spearman(-found["rank"][brief].to_numpy(float), truth[brief].to_numpy()) > 0.5


def test_they_change_no_score_no_probability_and_no_other_candidate() -> None:
    scores, truth = pool(0.8)
    given = curves(truth, 20, 40, 1.0)
    alone = calibrate(scores, given[given["epoch"] == 9])
    found = calibrate(scores, given)
    pd.testing.assert_frame_equal(found.scores, alone.scores)
    brief = names_of(given, 3)
    rest = found.candidates.drop(index=brief)
    order = alone.candidates.drop(index=brief).index
    assert list(rest.index) == list(order)
    assert found.candidates.loc[brief, "p_top_10"].isna().all()
    assert rest["p_top_10"].equals(alone.candidates.loc[order, "p_top_10"])


def test_each_network_counts_where_it_ended() -> None:
    """As in successive halving: some end at epoch 1, some at 3, and few go on to 9."""
    scores, truth = pool(0.0)
    first = truth.sample(60, random_state=0)
    rungs = [(1, 60, 2.0), (3, 30, 1.0), (9, 10, 0.0)]
    generator = np.random.default_rng(0)
    given = pd.concat(
        (first.head(count) + noise * generator.normal(size=count)).reset_index().assign(epoch=epoch)
        for epoch, count, noise in rungs
    )
    found = calibrate(scores, given)
    assert found.trained == 10
    assert found.candidates["epoch"].value_counts().to_dict() == {1: 30, 3: 20}
    said = " ".join(found.statement)
    assert "20 networks ended at epoch 3, where results rank those of the last epoch" in said
    assert "30 networks ended at epoch 1" in said
    assert set(found.next) & set(first.index)
    for epoch in (1, 3):
        brief = names_of(given, epoch)
        places = found.candidates["rank"][brief].to_numpy(dtype=float)
        assert spearman(-places, truth[brief].to_numpy()) > 0.5


def test_without_early_results_nothing_is_said_of_them() -> None:
    scores, truth = pool(0.5)
    assert "epoch" not in calibrate(scores, some(truth, 10)).candidates
    assert 0.3 < np.tanh(early_prior().mean) < 0.9
