"""Sizes beside scores: strata, agreement, and a ranking within strata."""

import math

import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from foretell import ForetellError, rank
from foretell.rankings.sizes import SIZES, agreement, like_sizes, strata

NAN = float("nan")
sizes = st.lists(st.one_of(st.just(NAN), st.integers(0, 30).map(float)), min_size=1, max_size=60)


@given(sizes)
def test_strata_keep_the_order_and_equal_sizes_together(values: list[float]) -> None:
    """Numbers are consecutive, and undefined sizes are in a last stratum of their own."""
    found = strata(pd.Series(values)).tolist()
    pairs = [(size, stratum) for size, stratum in zip(values, found, strict=True)]
    assert sorted(set(found)) == list(range(1, max(found) + 1))
    known = [pair for pair in pairs if not math.isnan(pair[0])]
    for size, stratum in known:
        assert all((other <= size) or (number >= stratum) for other, number in known)
        assert all(number == stratum for other, number in known if other == size)
    if known and len(known) < len(pairs):
        last = {stratum for size, stratum in pairs if math.isnan(size)}
        assert last == {max(number for _, number in known) + 1}


def test_distinct_sizes_are_divided_evenly() -> None:
    for count in (4, 8, 11, 40, 200):
        counts = strata(pd.Series(range(count), dtype=float)).value_counts()
        assert len(counts) == min(10, count // 4)
        assert counts.max() - counts.min() <= 1


def third(values: list[float], at: int) -> int:
    """The third of a candidate, from 0, the worst, by counting; equal ones share their middle."""
    known = [value for value in values if not math.isnan(value)]
    below = sum(value < values[at] for value in known)
    same = sum(value == values[at] for value in known)
    return math.floor(3 * (below + same / 2) / len(known))


column = st.lists(st.one_of(st.just(NAN), st.integers(0, 9).map(float)), min_size=9, max_size=9)


@given(st.lists(column, min_size=1, max_size=4))
def test_agreement_is_that_of_counting(columns: list[list[float]]) -> None:
    found = agreement(pd.DataFrame({f"s{n}": values for n, values in enumerate(columns)}))
    for at in range(9):
        places = [third(values, at) for values in columns if not math.isnan(values[at])]
        expected = ""
        if len(places) > 1 and len(set(places)) == 1:
            expected = "agree"
        if {0, 2} <= set(places):
            expected = "disagree"
        assert found[at] == expected


def net(width: int, depth: int = 1) -> nn.Module:
    """A network of this size."""
    inner = [layer for _ in range(depth) for layer in (nn.Linear(width, width), nn.ReLU())]
    return nn.Sequential(nn.Linear(4, width), nn.ReLU(), *inner, nn.Linear(width, 2))


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(6, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1] * 3)


MODELS = {f"{width}x{depth}": (width, depth) for width in (2, 3, 8, 9) for depth in (1, 2)}


def test_the_sizes_stand_beside_the_scores(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    table = rank({name: net(*size) for name, size in MODELS.items()}, batch)
    assert set(SIZES) <= set(table)
    assert set(table["agreement"]) <= {"", "agree", "disagree"}
    assert set(like_sizes(table)) == set(SIZES)


@pytest.mark.parametrize("by", ["params", "vote", "log_rank:snip,flops"])
def test_at_equal_size_each_stratum_is_a_ranking_of_its_own(
    by: str, batch: tuple[torch.Tensor, torch.Tensor]
) -> None:
    """Scores are as ever; all else is what a ranking of the stratum alone says."""
    models = {name: net(*size) for name, size in MODELS.items()}
    table = rank(models, batch, by=by, at_equal="flops_used")
    assert table["stratum"].tolist() == [1] * 4 + [2] * 4
    for _, part in table.groupby("stratum"):
        alone = rank({name: models[name] for name in part.index}, batch, by=by)
        kept = part.drop(columns=["seconds", "stratum"])
        pd.testing.assert_frame_equal(
            kept.sort_index(), alone.drop(columns="seconds").sort_index(), check_dtype=False
        )


def test_what_no_size_is_is_refused(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    with pytest.raises(ForetellError, match="no size is called 'param'"):
        rank([net(2)], batch, at_equal="param")
    with pytest.raises(ForetellError, match="add it to the proxies"):
        rank([net(2)], batch, ["snip"], at_equal="params")
