"""The statistics of a study: against loops, against scipy, and by laws; then the study's table."""

from collections.abc import Callable
from functools import partial
from math import asin, inf, isnan, nan, pi
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from foretell import ForetellError
from foretell.scoring.vote import VOTERS, wins
from foretell.statistics.pairs import orders_of
from foretell.statistics.sample import Sample
from foretell.studies import (
    Interval,
    best_in_top,
    bootstrap,
    kendall,
    majority_accuracy,
    noise_ceiling,
    pairwise_accuracy,
    partial_spearman,
    precision_at,
    regret,
    spearman,
    study_table,
    top_overlap,
    why_undefined,
    within_top,
)
from foretell.studies.table import STATISTICS
from tests.twins import statistics as reference

few = st.sampled_from([0.0, 1.0, 2.0, 3.0])
anything = st.one_of(few, st.sampled_from([nan, inf, -inf]))


def networks(score: st.SearchStrategy[float] = anything, most: int = 6) -> Any:
    """Scores, truths and sizes of a few networks, with many ties."""
    return st.lists(st.tuples(score, few, few), min_size=1, max_size=most).map(
        lambda rows: [list(column) for column in zip(*rows, strict=True)]
    )


def same(value: Any, expected: Any) -> bool:
    """Equal up to rounding; nan equals nan."""
    return bool(np.allclose(value, expected, rtol=1e-9, atol=1e-9, equal_nan=True))


TWINS: dict[str, tuple[Callable[..., Any], Callable[..., float]]] = {
    "spearman": (spearman, reference.spearman),
    "kendall": (kendall, reference.kendall),
    "pairwise_accuracy": (pairwise_accuracy, reference.pairwise_accuracy),
    "top_overlap": (partial(top_overlap, share=0.4), partial(reference.top_overlap, share=0.4)),
    "best_in_top": (
        partial(best_in_top, best=3, share=0.4),
        partial(reference.best_in_top, best=3, share=0.4),
    ),
    "precision_at": (partial(precision_at, k=2), partial(reference.precision_at, k=2)),
    "regret": (regret, reference.regret),
    "within_top": (
        partial(within_top, spearman, share=0.7),
        lambda x, y: reference.spearman(*reference.within_top(x, y, 0.7)),
    ),
}
EVERY = {name: pair[0] for name, pair in TWINS.items()}


@pytest.mark.parametrize("name", TWINS)
@settings(max_examples=40)
@given(rows=networks())
def test_each_statistic_has_a_dull_twin(name: str, rows: list[list[float]]) -> None:
    """Ties, undefined and infinite scores, one network or six."""
    scores, truth, _ = rows
    statistic, twin = TWINS[name]
    assert same(statistic(scores, truth), twin(reference.last(scores), truth))


@given(networks(most=8))
def test_the_partial_correlation_is_that_of_residuals(rows: list[list[float]]) -> None:
    """The formula against two least-squares lines."""
    scores, truth, size = rows
    expected = reference.partial_spearman(reference.last(scores), truth, size)
    assert same(partial_spearman(scores, truth, size), expected)


@given(st.lists(st.tuples(st.tuples(anything, anything, anything), few), min_size=1, max_size=7))
def test_the_majority_is_counted_as_the_reference_counts(rows: list[Any]) -> None:
    """Every ordered pair; nobody's majority is right once in two."""
    ballots, truth = [list(ballot) for ballot, _ in rows], [y for _, y in rows]
    expected = reference.majority_accuracy([reference.last(ballot) for ballot in ballots], truth)
    assert same(majority_accuracy(ballots, truth), expected)


def test_the_majority_of_many_is_counted_in_parts() -> None:
    """More networks than are compared at once."""
    generator = np.random.default_rng(0)
    ballots, truth = generator.integers(9, size=(300, 3)), generator.integers(50, size=300)
    expected = reference.majority_accuracy(ballots.tolist(), truth.tolist())
    assert same(majority_accuracy(ballots, truth), expected)


@pytest.mark.parametrize("name", EVERY)
@settings(max_examples=25)
@given(
    rows=networks(most=12),
    draws=st.lists(st.lists(st.integers(0, 3), min_size=12, max_size=12), min_size=1, max_size=3),
)
def test_counts_are_copies(name: str, rows: list[list[float]], draws: list[list[int]]) -> None:
    """A network counted twice is as two of it; all draws at once are as one at a time."""
    scores, truth, _ = (np.array(column) for column in rows)
    counts = np.array(draws, dtype=float)[:, : len(scores)].T
    together = EVERY[name](scores, truth, sample=Sample(counts))
    for draw, value in enumerate(np.atleast_1d(together)):
        times = counts[:, draw].astype(int)
        expected = EVERY[name](np.repeat(scores, times), np.repeat(truth, times))
        assert same(value, expected)


@pytest.mark.parametrize("digits", [1, 9])
@pytest.mark.parametrize("statistic", [kendall, spearman])
def test_many_networks_are_counted_in_blocks(statistic: Any, digits: int) -> None:
    """More than are compared or summed at once, with many ties and few, drawn several times."""
    generator = np.random.default_rng(3)
    scores, truth = (column.round(digits) for column in copula(generator, 1_100, 0.4))
    counts = generator.integers(4, size=(1_100, 3))
    together = statistic(scores, truth, sample=Sample(counts.astype(float)))
    scipys = {kendall: stats.kendalltau, spearman: stats.spearmanr}[statistic]
    for draw, times in enumerate(counts.T):
        expected = scipys(np.repeat(scores, times), np.repeat(truth, times))[0]
        assert together[draw] == pytest.approx(expected)


def test_counts_too_large_for_short_numbers_stay_exact() -> None:
    """Sums of products beyond 2²⁴."""
    counts = np.array([3e5, 5e5, 7e5, 1.0])
    orders = orders_of(Sample(counts), np.array([1.0, 2, 3, 4]), np.array([1.0, 2, 3, 4]))
    expected = 3e5 * 5e5 + 3e5 * 7e5 + 5e5 * 7e5 + 3e5 + 5e5 + 7e5
    assert orders.alike == expected


@pytest.mark.parametrize("name", EVERY)
@settings(max_examples=25)
@given(rows=networks(most=12), seed=st.integers(0, 99))
def test_neither_the_order_nor_the_scale_matters(
    name: str, rows: list[list[float]], seed: int
) -> None:
    """Shuffled rows, a monotone map of the scores, a network without truth: the same."""
    scores, truth, _ = (np.array(column) for column in rows)
    value = EVERY[name](scores, truth)
    order = np.random.default_rng(seed).permutation(len(scores))
    assert same(EVERY[name](scores[order], truth[order]), value)
    assert same(EVERY[name](np.cbrt(scores) * 7 - 2, truth), value)
    more = np.append(scores, 9.0), np.append(truth, nan)
    assert same(EVERY[name](*more), value)


@settings(max_examples=40)
@given(networks(score=few, most=12))
def test_a_turned_score_gets_the_opposite_sign(rows: list[list[float]]) -> None:
    """Nothing takes an absolute value."""
    scores, truth, size = (np.array(column) for column in rows)
    for statistic in spearman, kendall, partial(within_top, kendall, share=0.5):
        assert same(statistic(-scores, truth), -statistic(scores, truth))
    assert same(pairwise_accuracy(-scores, truth), 1 - pairwise_accuracy(scores, truth))
    assert same(partial_spearman(-scores, truth, size), -partial_spearman(scores, truth, size))


@settings(max_examples=30)
@given(networks(score=few, most=12))
def test_undefined_scores_rank_last(rows: list[list[float]]) -> None:
    """As the lowest number would."""
    scores, truth, _ = (np.array(column) for column in rows)
    undefined = np.where(scores == 0, nan, scores)
    for statistic in EVERY.values():
        assert same(statistic(undefined, truth), statistic(scores, truth))


def test_scipy_agrees() -> None:
    """On a thousand networks, with ties and without."""
    generator = np.random.default_rng(0)
    truth = generator.normal(size=1000)
    for digits in 1, 9:
        scores, rounded = (truth + generator.normal(size=1000)).round(digits), truth.round(digits)
        assert spearman(scores, rounded) == pytest.approx(stats.spearmanr(scores, rounded)[0])
        assert kendall(scores, rounded) == pytest.approx(stats.kendalltau(scores, rounded)[0])
        assert spearman(-scores, rounded) < -0.5


def test_the_perfect_score_is_exactly_perfect() -> None:
    """And the worst exactly wrong."""
    truth = np.random.default_rng(1).permutation(200).astype(float)
    assert (spearman(truth, truth), kendall(truth, truth)) == (1, 1)
    assert (spearman(-truth, truth), kendall(-truth, truth)) == (-1, -1)
    assert (top_overlap(truth, truth), precision_at(truth, truth, 10)) == (1, 1)
    assert (top_overlap(-truth, truth), best_in_top(-truth, truth)) == (0, 0)
    assert best_in_top(truth, truth) == 10  # 5 % of 200
    assert (regret(truth, truth), regret(-truth, truth)) == (0, 199)


def test_regret_has_the_unit_of_the_truth() -> None:
    """It scales with it; a shift is nothing."""
    scores, truth = [1.0, 5, 3], np.array([10.0, 7, 11])
    assert regret(scores, 2 * truth + 5) == 2 * regret(scores, truth) == 8
    assert regret([1, 2], [inf, 3.0]) == inf
    assert isnan(regret([1, 2], [3.0, inf]))  # infinite less infinite


@pytest.mark.parametrize(
    ("scores", "truth", "why"),
    [
        ([1, 2], [1, 2], "fewer than 3 networks"),
        ([1, 2, 3], [1, 2, nan], "fewer than 3 networks"),
        ([nan, nan, nan], [1, 2, 3], "undefined for every network"),
        ([4, 4, 4], [1, 2, 3], "the score is the same"),
        ([nan, -inf, -inf], [1, 2, 3], ""),
        ([1, 2, 3], [5, 5, 5], "the truth is the same"),
        ([1, 2, 3], [5, 6, 5], ""),
    ],
)
def test_what_does_not_exist_is_nan_with_a_reason(
    scores: list[float], truth: list[float], why: str
) -> None:
    """And nothing else is."""
    assert why in why_undefined(scores, truth)
    if why:
        assert isnan(spearman(scores, truth))
        assert isnan(kendall(scores, truth))


def test_no_network_at_all_is_no_crash() -> None:
    """Neither is one whose truth is missing."""
    for statistic in EVERY.values():
        assert isnan(statistic([], []))
        assert isnan(statistic([1.0], [nan]))


def test_what_makes_no_sense_is_refused() -> None:
    """With what to give."""
    with pytest.raises(ForetellError, match=r"shape \(2,\) and truth of shape \(3,\)"):
        spearman([1, 2], [1, 2, 3])
    with pytest.raises(ForetellError, match="a share of 10"):
        top_overlap([1, 2], [1, 2], share=10)
    with pytest.raises(ForetellError, match="give a number from 1"):
        precision_at([1, 2], [1, 2], 0)
    with pytest.raises(ForetellError, match="two or more"):
        noise_ceiling(pd.DataFrame({"seed 0": [1.0, 2]}))
    with pytest.raises(ForetellError, match="one value a network in each"):
        bootstrap(spearman, [1, 2, 3], [1, 2])
    with pytest.raises(ForetellError, match="level 95"):
        bootstrap(spearman, [1, 2, 3], [1, 2, 3], level=95)


def copula(generator: np.random.Generator, n: int, r: float) -> tuple[Any, Any]:
    """Scores and truth of n networks, jointly Gaussian."""
    truth = generator.normal(size=n)
    return r * truth + np.sqrt(1 - r * r) * generator.normal(size=n), truth


@pytest.mark.parametrize(
    ("statistic", "true"),
    [(spearman, 6 / pi * asin(0.6 / 2)), (kendall, 2 / pi * asin(0.6))],
)
def test_the_interval_holds_the_truth_as_often_as_it_says(statistic: Any, true: float) -> None:
    """About 95 of 100 times for a Gaussian copula, whose ρ and τ are known."""
    generator = np.random.default_rng(5)
    held = 0
    for seed in range(100):
        found = bootstrap(statistic, *copula(generator, 80, 0.6), resamples=200, seed=seed)
        held += found.low <= true <= found.high
    assert 88 <= held <= 100


def test_the_interval_is_that_of_drawing_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a loop over the same draws; the same however many are worked on at a time."""
    scores, truth = copula(np.random.default_rng(2), 30, 0.5)
    found = bootstrap(kendall, scores, truth, resamples=50, seed=7)
    drawn = np.random.default_rng(7).integers(30, size=(50, 30))
    values = [stats.kendalltau(scores[row], truth[row])[0] for row in drawn]
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])))
    assert (found.value, found.n) == (kendall(scores, truth), 30)
    monkeypatch.setattr("foretell.statistics.bootstrap.CELLS", 100)
    assert bootstrap(kendall, scores, truth, resamples=50, seed=7) == found
    assert bootstrap(kendall, scores, truth, resamples=50, seed=8) != found
    narrow = bootstrap(kendall, scores, truth, resamples=50, seed=7, level=0.5)
    assert found.low < narrow.low < narrow.high < found.high


def test_a_statistic_that_never_exists_has_no_interval() -> None:
    """Nor does it crash."""
    found = bootstrap(spearman, [1, 1, 1, 1], [1, 2, 3, 4], resamples=20)
    assert all(isnan(end) for end in (found.value, found.low, found.high))
    assert str(Interval(-0.1, -0.25, 0.5, 9)) == "-0.100 [-0.250, +0.500]"


def test_a_sample_knows_one_array_from_another() -> None:
    """Though a temporary one may live where another did."""
    sample = Sample.once(5)
    for shift in range(20):
        scores = [float((3 * i + shift) % 5) for i in range(5)]
        truth = [nan if i == shift % 5 else float(i) for i in range(5)]
        assert sample.with_truth(np.array(truth)).counts[shift % 5] == 0
        assert same(spearman(scores, truth, sample=sample), spearman(scores, truth))


def test_the_noise_ceiling_is_seed_against_seed() -> None:
    """The mean over pairs of seeds, each over the networks that both have."""
    repeats = pd.DataFrame(
        {"a": [1.0, 2, 3, 4, 5], "b": [2.0, 1, 3, 5, 4], "c": [1.0, 3, 2, 4, nan]}
    )
    pairs = [("a", "b"), ("a", "c"), ("b", "c")]
    both = [repeats[list(pair)].dropna().to_numpy().T for pair in pairs]
    expected = np.mean([stats.spearmanr(*columns)[0] for columns in both])
    found = noise_ceiling(repeats, resamples=100)
    assert found.value == pytest.approx(expected)
    assert found.low <= found.value <= found.high


@pytest.fixture(scope="module")
def frame() -> tuple[pd.DataFrame, pd.Series, pd.DataFrame]:
    """Scores of 120 networks, their mean truth, and three seeds of it."""
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
    """Each number of each score, under its name."""
    scores, truth, seeds = frame
    table = study_table(scores, truth, DIRECTIONS, repeats=seeds, resamples=50, seed=4)
    for row in scores:
        column = scores[row] * (-1 if row == "latency" else 1)
        for name, statistic in STATISTICS.items():
            assert same(table.loc[row, name], statistic(column, truth))
        expected = partial_spearman(column, truth, scores["params"])
        assert same(table.loc[row, "partial_spearman"], expected)
    alone = bootstrap(kendall, scores["synflow"], truth, resamples=50, seed=4)
    row = table.loc["synflow"]
    assert (row["kendall_low"], row["kendall_high"]) == (alone.low, alone.high)
    assert table["n"].unique().tolist() == [120]


def test_the_table_shows_what_is_wrong(frame: Any) -> None:
    """A backwards score is backwards; undefined ones are counted; a constant has its reason."""
    scores, truth, _ = frame
    table = study_table(scores, truth, DIRECTIONS, resamples=50)
    assert table.loc["grasp", "spearman"] < -0.9
    assert table["sign"].to_dict() | {"latency": "right", "grasp": "wrong", "zen": "undefined"} == (
        table["sign"].to_dict()
    )
    assert table["undefined"].to_dict()["snip"] == 5
    assert table.loc["zen", "why"] == "the score is the same for every network"
    assert isnan(table.loc["zen", "spearman"])
    assert table.loc["synflow", "why"] == ""


def test_the_baselines_the_vote_and_the_ceiling_have_rows(frame: Any) -> None:
    """Beside the scores, each of its kind."""
    scores, truth, seeds = frame
    table = study_table(scores, truth, DIRECTIONS, repeats=seeds, resamples=20)
    kinds = table["kind"].to_dict()
    assert list(kinds)[-3:] == ["vote", "params", "noise ceiling"]
    assert [kinds[row] for row in ("vote", "params", "noise ceiling")] == [
        "vote",
        "baseline",
        "ceiling",
    ]
    ballots = scores[list(VOTERS)]
    assert same(table.loc["vote", "spearman"], spearman(wins(ballots), truth))
    assert same(table.loc["vote", "pairwise_accuracy"], majority_accuracy(ballots, truth))
    assert table.loc["vote", "pairwise_accuracy"] != pairwise_accuracy(wins(ballots), truth)
    assert same(table.loc["noise ceiling", "spearman"], noise_ceiling(seeds).value)
    assert isnan(table.loc["params", "partial_spearman"])  # nothing is left of it

    without = scores.drop(columns="params")
    given = study_table(without, truth, DIRECTIONS, params=scores["params"], resamples=20)
    assert same(given.loc["synflow", "partial_spearman"], table.loc["synflow", "partial_spearman"])
    assert "params" in given.index
    bare = study_table(without.drop(columns="snip"), truth, DIRECTIONS, resamples=20)
    assert bare["partial_spearman"].isna().all()
    assert not {"vote", "params", "noise ceiling"} & set(bare.index)


def test_less_can_be_better(frame: Any) -> None:
    """An error instead of an accuracy: the same table."""
    scores, truth, seeds = frame
    one = study_table(scores, truth, DIRECTIONS, repeats=seeds, resamples=20)
    other = study_table(
        scores, -truth, DIRECTIONS, repeats=-seeds, more_is_better=False, resamples=20
    )
    pd.testing.assert_frame_equal(one, other)


def test_seeds_and_batches_give_the_spread(frame: Any) -> None:
    """The same networks scored again."""
    scores, truth, _ = frame
    again = scores + np.random.default_rng(0).normal(size=scores.shape)
    table = study_table(scores, truth, DIRECTIONS, runs=[again], resamples=20)
    both = [spearman(run["synflow"], truth) for run in (scores, again)]
    row = table.loc["synflow"]
    assert row["runs"] == 2
    assert same(row["spearman_sd"], np.std(both, ddof=1))
    assert same([row["spearman_min"], row["spearman_max"]], sorted(both))
    with pytest.raises(ForetellError, match="a run lacks 1 of the architectures"):
        study_table(scores, truth, DIRECTIONS, runs=[again.iloc[1:]])


def test_names_join_scores_and_truth(frame: Any) -> None:
    """In any order; what has no truth is left out and not counted; nonsense is refused."""
    scores, truth, _ = frame
    one = study_table(scores.iloc[:60], truth, DIRECTIONS, resamples=20)
    other = study_table(scores, truth.iloc[59::-1], DIRECTIONS, resamples=20)
    pd.testing.assert_frame_equal(one, other)
    assert one["n"].unique().tolist() == [60]
    with pytest.raises(ForetellError, match="which way is better for latency"):
        study_table(scores, truth)
    with pytest.raises(ForetellError, match="none of the 120 architectures"):
        study_table(scores, truth.add_prefix("other "), DIRECTIONS)
    with pytest.raises(ForetellError, match="'arch 0' twice"):
        study_table(pd.concat([scores, scores]), truth, DIRECTIONS)
