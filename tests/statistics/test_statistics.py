"""The statistics of a study: compared with loops and with scipy, and their general properties."""

from collections.abc import Callable
from functools import partial
from math import inf, isnan, nan
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from foretell import ForetellError
from foretell.statistics.correlations import spearman_within
from foretell.statistics.sample import Sample
from foretell.studies import (
    best_in_top,
    interval,
    kendall,
    majority_accuracy,
    ndcg_at,
    noise_ceiling,
    pairwise_accuracy,
    partial_spearman,
    precision_at,
    regret,
    regret_of_first,
    spearman,
    top_overlap,
    why_undefined,
    within_top,
)
from tests.support.draws import same
from tests.twins import statistics as reference

few = st.sampled_from([0.0, 1.0, 2.0, 3.0])
anything = st.one_of(few, st.sampled_from([nan, inf, -inf]))


def networks(score: st.SearchStrategy[float] = anything, most: int = 6) -> Any:
    """Scores, truths and sizes of a few networks, with many ties."""
    return st.lists(st.tuples(score, few, few), min_size=1, max_size=most).map(
        lambda rows: [list(column) for column in zip(*rows, strict=True)]
    )


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
    "regret_of_first": (partial(regret_of_first, k=2), partial(reference.regret_of_first, k=2)),
    "ndcg_at": (partial(ndcg_at, k=3), partial(reference.ndcg_at, k=3)),
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
    """They agree for ties, undefined and infinite scores, and one to six networks."""
    scores, truth, _ = rows
    statistic, twin = TWINS[name]
    assert same(statistic(scores, truth), twin(reference.last(scores), truth))


@given(networks(most=8))
def test_the_partial_correlation_is_that_of_residuals(rows: list[list[float]]) -> None:
    """The formula agrees with the correlation of the residuals of two least-squares fits."""
    scores, truth, size = rows
    expected = reference.partial_spearman(reference.last(scores), truth, size)
    assert same(partial_spearman(scores, truth, size), expected)


@given(st.lists(st.tuples(st.tuples(anything, anything, anything), few), min_size=1, max_size=7))
def test_the_majority_is_counted_as_the_reference_counts(rows: list[Any]) -> None:
    """Every ordered pair counts; a pair without a majority counts half."""
    ballots, truth = [list(ballot) for ballot, _ in rows], [y for _, y in rows]
    expected = reference.majority_accuracy([reference.last(ballot) for ballot in ballots], truth)
    assert same(majority_accuracy(ballots, truth), expected)


def test_the_majority_of_many_is_counted_in_parts() -> None:
    """The result is the same for more networks than are compared at once."""
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
    """A count of two equals a duplicate, and many draws at once equal one draw at a time."""
    scores, truth, _ = (np.array(column) for column in rows)
    counts = np.array(draws, dtype=float)[:, : len(scores)].T
    together = EVERY[name](scores, truth, sample=Sample(counts))
    for draw, value in enumerate(np.atleast_1d(together)):
        times = counts[:, draw].astype(int)
        expected = EVERY[name](np.repeat(scores, times), np.repeat(truth, times))
        assert same(value, expected)


@pytest.mark.parametrize("name", EVERY)
@settings(max_examples=25)
@given(rows=networks(most=12), seed=st.integers(0, 99))
def test_neither_the_order_nor_the_scale_matters(
    name: str, rows: list[list[float]], seed: int
) -> None:
    """Shuffling, a monotone map of the scores and networks without truth change nothing."""
    scores, truth, _ = (np.array(column) for column in rows)
    value = EVERY[name](scores, truth)
    order = np.random.default_rng(seed).permutation(len(scores))
    assert same(EVERY[name](scores[order], truth[order]), value)
    assert same(EVERY[name](np.cbrt(scores) * 7 - 2, truth), value)
    more = np.append(scores, 9.0), np.append(truth, nan)
    assert same(EVERY[name](*more), value)


@settings(max_examples=40)
@given(networks(score=few, most=14), st.integers(1, 4))
def test_within_strata_it_is_the_mean_of_those_within(rows: list[list[float]], count: int) -> None:
    """Weighted by the networks with a truth; a repeated network counts as often as it is drawn."""
    scores, truth, _ = (np.array(column) for column in rows)
    stratum = np.arange(len(truth)) % count
    draws = np.random.default_rng(len(truth)).integers(0, 3, (len(truth), 2)).astype(float)
    found = spearman_within(scores, truth, stratum, sample=Sample(draws))
    for draw in range(2):
        drawn = np.repeat(np.arange(len(truth)), draws[:, draw].astype(int))
        total = weight = 0.0
        for label in range(count):
            own = [at for at in drawn if stratum[at] == label and not np.isnan(truth[at])]
            rho = float(spearman(scores[own], truth[own])) if own else np.nan
            if not np.isnan(rho):
                total, weight = total + len(own) * rho, weight + len(own)
        expected = total / weight if weight else np.nan
        assert np.asarray(found)[draw] == pytest.approx(expected, abs=1e-9, nan_ok=True)
    assert same(spearman_within(scores, truth, 0 * stratum), spearman(scores, truth))


@settings(max_examples=40)
@given(networks(score=few, most=12))
def test_a_turned_score_gets_the_opposite_sign(rows: list[list[float]]) -> None:
    """No absolute values are taken."""
    scores, truth, size = (np.array(column) for column in rows)
    for statistic in spearman, kendall, partial(within_top, kendall, share=0.5):
        assert same(statistic(-scores, truth), -statistic(scores, truth))
    assert same(pairwise_accuracy(-scores, truth), 1 - pairwise_accuracy(scores, truth))
    assert same(partial_spearman(-scores, truth, size), -partial_spearman(scores, truth, size))


@settings(max_examples=30)
@given(networks(score=few, most=12))
def test_undefined_scores_rank_last(rows: list[list[float]]) -> None:
    """They rank like the lowest number."""
    scores, truth, _ = (np.array(column) for column in rows)
    undefined = np.where(scores == 0, nan, scores)
    for statistic in EVERY.values():
        assert same(statistic(undefined, truth), statistic(scores, truth))


def test_scipy_agrees() -> None:
    """The results agree on a thousand networks, with and without ties."""
    generator = np.random.default_rng(0)
    truth = generator.normal(size=1000)
    for digits in 1, 9:
        scores, rounded = (truth + generator.normal(size=1000)).round(digits), truth.round(digits)
        assert spearman(scores, rounded) == pytest.approx(stats.spearmanr(scores, rounded)[0])
        assert kendall(scores, rounded) == pytest.approx(stats.kendalltau(scores, rounded)[0])
        assert spearman(-scores, rounded) < -0.5


def test_the_perfect_score_is_exactly_perfect() -> None:
    """The statistics of the reversed order are exactly the worst."""
    truth = np.random.default_rng(1).permutation(200).astype(float)
    assert (spearman(truth, truth), kendall(truth, truth)) == (1, 1)
    assert (spearman(-truth, truth), kendall(-truth, truth)) == (-1, -1)
    assert (top_overlap(truth, truth), precision_at(truth, truth, 10)) == (1, 1)
    assert (top_overlap(-truth, truth), best_in_top(-truth, truth)) == (0, 0)
    assert best_in_top(truth, truth) == 10  # 5 % of 200
    assert (regret(truth, truth), regret(-truth, truth)) == (0, 199)


def test_regret_has_the_unit_of_the_truth() -> None:
    """It scales with the truth and does not change with a shift."""
    scores, truth = [1.0, 5, 3], np.array([10.0, 7, 11])
    assert regret(scores, 2 * truth + 5) == 2 * regret(scores, truth) == 8
    assert regret([1, 2], [inf, 3.0]) == inf
    assert isnan(regret([1, 2], [3.0, inf]))  # infinity minus infinity


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
    """A statistic is nan if and only if it has a reason."""
    assert why in why_undefined(scores, truth)
    if why:
        assert isnan(spearman(scores, truth))
        assert isnan(kendall(scores, truth))


def test_no_networks_give_nan_instead_of_an_error() -> None:
    """The same holds for one network without truth."""
    for statistic in EVERY.values():
        assert isnan(statistic([], []))
        assert isnan(statistic([1.0], [nan]))


def test_what_makes_no_sense_is_refused() -> None:
    """The error says what to give instead."""
    with pytest.raises(ForetellError, match=r"scores has shape \(2,\) and truth has shape \(3,\)"):
        spearman([1, 2], [1, 2, 3])
    with pytest.raises(ForetellError, match="share is 10; expected"):
        top_overlap([1, 2], [1, 2], share=10)
    with pytest.raises(ForetellError, match="expected at least 1"):
        precision_at([1, 2], [1, 2], 0)
    with pytest.raises(ForetellError, match="at least two"):
        noise_ceiling(pd.DataFrame({"seed 0": [1.0, 2]}))
    with pytest.raises(ForetellError, match="one value per network in each"):
        interval(spearman, [1, 2, 3], [1, 2])
    with pytest.raises(ForetellError, match="level is 95"):
        interval(spearman, [1, 2, 3], [1, 2, 3], level=95)
