"""The best of many models, found without scoring all of them in full."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from foretell import ForetellError, Progress, rank
from foretell.rankings import RANKINGS, scores_of
from foretell.scoring import best
from foretell.scoring.chances import Floats, Mask, select

BEST, COUNT, PILOT, SMALL = 2, 32, 12, 10
"""A smaller pool and pilot than usual, to be fast."""


@pytest.fixture(autouse=True, scope="module")
def small() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(best, "PILOT", PILOT)
        patch.setattr(best, "SMALL", SMALL)
        yield


def lost(first: Floats, result: Floats, count: int, pilot: Mask) -> float:
    """The share of the best by `result` that is left out."""
    chosen = select(first, pilot, count, lambda known: result)
    return float((~chosen.scored[np.argsort(-result)[:count]]).mean())


def lost_on_average(correlation: float, top: Callable[[Floats], Floats]) -> tuple[float, float]:
    """The mean of the lost share of the best 20 of 500, and its standard error."""
    shares = []
    for seed in range(40):
        common, noise = np.random.default_rng(seed).normal(size=(2, 500))
        result = correlation * common + np.sqrt(1 - correlation**2) * noise
        shares.append(lost(top(common), result, 20, np.arange(500) < 40))
    return float(np.mean(shares)), float(np.std(shares) / np.sqrt(len(shares)))


@pytest.mark.parametrize("correlation", [0.3, 0.5, 0.7, 0.9, 0.95, 0.98])
def test_at_most_a_twentieth_of_the_best_is_lost(correlation: float) -> None:
    mean, error = lost_on_average(correlation, lambda common: common)
    assert mean <= 0.05 + 2 * error


def test_as_few_are_lost_if_the_first_round_does_not_distinguish_the_best() -> None:
    """The correlation over the whole pool promises too much: the best fifth is in random order."""
    rng = np.random.default_rng(0)

    def blunt(common: Floats) -> Floats:
        return np.minimum(common, 0.84) + 0.1 * rng.normal(size=len(common))

    mean, error = lost_on_average(0.98, blunt)
    assert mean <= 0.05 + 2 * error


def test_a_good_first_round_leaves_most_out() -> None:
    values = np.random.default_rng(0).permutation(1000).astype(float)
    chosen = select(values, np.arange(1000) < 40, 20, lambda known: values)
    assert chosen.scored.sum() < 100


def test_candidates_without_a_first_score_are_scored_in_full() -> None:
    values = np.arange(100.0)
    first = np.where(values % 10 == 0, np.nan, values)
    chosen = select(first, (np.arange(100) % 2 == 1), 5, lambda known: values)
    assert chosen.scored[np.isnan(first)].all()


def test_a_first_round_that_says_nothing_leaves_almost_nothing_out() -> None:
    values = np.arange(200.0)
    chosen = select(np.zeros(200), values % 5 == 0, 10, lambda known: values)
    assert chosen.scored.all()


def test_models_that_are_left_out_are_represented_by_the_nearest() -> None:
    scored = pd.DataFrame({"snip": [1.0, 2.0, 3.0]}, index=["a", "d", "e"])
    guess = np.array([0.0, 1.0, 8.0, 9.0, np.nan])
    keys = np.arange(5)
    whole = best.represented(scored, pd.Index(list("abcde")), guess, keys)
    assert whole["snip"].tolist() == [1.0, 1.0, 2.0, 2.0, 3.0]


def net(width: int) -> Callable[[int], nn.Module]:
    """A function that builds a small network."""

    def build(seed: int) -> nn.Module:
        torch.manual_seed(100 * seed + width)
        return nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 3))

    return build


def broken(seed: int) -> nn.Module:
    """A network that does not accept the batch."""
    return nn.Linear(7, 3)


@pytest.fixture(scope="module")
def models() -> dict[str, Callable[[int], nn.Module]]:
    return {f"width {width}": net(width) for width in range(3, COUNT + 3)} | {"broken": broken}


@pytest.fixture(scope="module")
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(24, 4, generator=generator), torch.arange(24) % 3


@pytest.fixture(scope="module")
def found(models: Any, batch: Any) -> pd.DataFrame:
    return rank(models, batch, by="synflow", best=BEST, seeds=[0, 1])


def is_left_out(table: pd.DataFrame) -> "pd.Series[bool]":
    return table["why"].str.startswith("left out")


def test_the_best_have_the_scores_that_they_have_without_rounds(
    found: pd.DataFrame, models: Any, batch: Any
) -> None:
    whole = rank(models, batch, by="synflow", seeds=[0, 1])
    own = found[~is_left_out(found)].drop(columns=["first_round", "seconds"])
    pd.testing.assert_frame_equal(own[:BEST], whole.drop(columns="seconds")[:BEST])
    scores = ["synflow", "params", "flops", "synflow_std"]
    pd.testing.assert_frame_equal(own[scores], whole.loc[own.index, scores])


def test_what_is_left_out_has_its_sizes_and_a_chance(found: pd.DataFrame) -> None:
    left = found[is_left_out(found)]
    rounds = found.attrs["rounds"]
    assert 0 < len(left) == COUNT + 1 - rounds["in_full"]
    assert rounds["first"] == COUNT + 1
    assert rounds["expected_lost"] <= 0.05 * BEST
    assert left["synflow"].isna().all()
    assert left[["params", "flops", "depth", "first_round"]].notna().all(axis=None)
    assert left["why"].str.fullmatch(r".*: chance .* % to be among the best 2").all()
    assert (left["rank"] == rounds["in_full"] + 1).all()
    assert left["first_round"].is_monotonic_decreasing
    assert list(found.index[-len(left) :]) == list(left.index)


def test_a_model_that_cannot_be_scored_keeps_its_reason(found: pd.DataFrame) -> None:
    assert "does not accept the batch" in found.loc["broken", "why"]


@pytest.mark.parametrize("by", ["vote", "synflow+params"])
def test_neither_the_order_of_models_nor_other_scores_change_anything(
    by: str, models: Any, batch: Any
) -> None:
    names = [*scores_of(RANKINGS["vote"]), "params"]
    one = rank(models, batch, names, by=by, best=BEST)
    mixed = dict(sorted(models.items(), key=lambda pair: pair[0][::-1]))
    other = rank(mixed, batch, [*reversed(names), "l2_norm"], by=by, best=BEST)
    columns = [name for name in one if name not in ("seconds", "agreement", "why")]
    left = is_left_out(one)
    assert left.any()
    pd.testing.assert_series_equal(one["why"][left], other["why"][is_left_out(other)])
    pd.testing.assert_frame_equal(one[columns].sort_index(), other[columns].sort_index())


def test_a_small_pool_is_scored_in_full(batch: Any) -> None:
    models = {f"width {width}": net(width) for width in (3, 4, 5)}
    table = rank(models, batch, by="snip", best=1)
    whole = rank(models, batch, by="snip")
    pd.testing.assert_frame_equal(
        table.drop(columns=["first_round", "seconds"]), whole.drop(columns="seconds")
    )
    assert table["first_round"].isna().all()
    assert table.attrs["rounds"]["first"] == 0


def test_progress_counts_both_rounds(models: Any, batch: Any) -> None:
    events: list[Progress] = []
    table = rank(models, batch, ["params"], best=BEST, progress=events.append)
    assert events[-1].done == events[-1].total == len(table) + table.attrs["rounds"]["in_full"]


def test_what_best_does_not_go_with(batch: Any) -> None:
    models = [net(3)]
    with pytest.raises(ForetellError, match="best is 0; expected an integer of at least 1"):
        rank(models, batch, best=0)
    with pytest.raises(ForetellError, match="best is 2 and at_equal is 'params'"):
        rank(models, batch, best=2, at_equal="params")
    with pytest.raises(ForetellError, match="can be read only once"):
        rank(iter(models), batch, best=2)
