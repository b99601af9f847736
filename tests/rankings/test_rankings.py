"""The registry of rankings: orders worked out by hand, missing members, and what is refused."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from foretell import ForetellError, rank
from foretell.proxies import PROXIES
from foretell.rankings import (
    FAMILIES,
    RANKINGS,
    Ranking,
    dropped,
    find_ranking,
    places,
    points,
    scores_of,
    without,
)

NAN = float("nan")
EVERY = [
    *RANKINGS.values(),
    *(find_ranking(f"{family}:snip,flops,params", ()) for family in FAMILIES),
]

numbers = st.one_of(st.just(NAN), st.integers(0, 3).map(float))


def pools(ranking: Ranking, rows: int) -> st.SearchStrategy[pd.DataFrame]:
    """Scores of some networks, with ties and undefined ones."""
    names = scores_of(ranking)
    row = st.tuples(*[numbers] * len(names))
    return st.lists(row, min_size=1, max_size=rows).map(
        lambda found: pd.DataFrame(found, columns=list(names))
    )


def test_members_are_scores_or_rankings() -> None:
    for name, ranking in RANKINGS.items():
        assert name == ranking.name
        assert name not in PROXIES
        assert set(scores_of(ranking)) <= set(PROXIES)


@pytest.mark.parametrize("ranking", EVERY, ids=lambda ranking: ranking.name)
@given(data=st.data())
def test_ranks_start_at_one_and_follow_the_pool_in_any_order(
    ranking: Ranking, data: st.DataObject
) -> None:
    scores = data.draw(pools(ranking, 6))
    ranks = places(ranking, scores)
    assert ranks.min() == 1
    assert ranks.dtype.kind == "i"
    order = data.draw(st.permutations(list(scores.index)))
    assert places(ranking, scores.loc[order]).loc[scores.index].tolist() == ranks.tolist()


def test_networks_with_equal_scores_share_a_rank_wherever_they_stand() -> None:
    """A matrix product rounds the last rows of a table in another way than the others."""
    rows = [(NAN,) * 5] * 2 + [(NAN, 0.0, NAN, NAN, 0.0)]
    rows += [(0.0, 0.0, NAN, NAN, 0.0), (0.0, 0.0, NAN, NAN, 1.0)]
    ranking = RANKINGS["anchored"]
    scores = pd.DataFrame(rows, columns=list(scores_of(ranking)))
    for order in itertools.permutations(scores.index):
        ranks = places(ranking, scores.loc[list(order)])
        assert ranks.loc[scores.index].tolist() == [4, 4, 3, 1, 1]


@pytest.mark.parametrize("ranking", EVERY, ids=lambda ranking: ranking.name)
def test_a_network_that_is_best_in_every_score_is_first(ranking: Ranking) -> None:
    scores = pd.DataFrame(
        {
            name: [1.0, 3.0, 2.0] if name not in PROXIES or PROXIES[name].higher_is_better
            else [3.0, 1.0, 2.0]
            for name in scores_of(ranking)
        }
    )  # fmt: skip
    assert places(ranking, scores).tolist() == [3, 1, 2]


def test_log_rank_by_hand() -> None:
    """Ranks count from the worst; equal scores share the mean rank."""
    scores = pd.DataFrame({"snip": [5.0, 5.0, 9.0], "flops": [2.0, 1.0, 3.0]})
    found = points(find_ranking("log_rank", list(scores)), scores)
    expected = [math.log(1.5 / 3) + math.log(2 / 3), math.log(1.5 / 3) + math.log(1 / 3), 0.0]
    assert found.tolist() == pytest.approx(expected)


def test_a_lower_score_that_is_better_counts_as_better(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    monkeypatch.setitem(PROXIES, "snip", replace(PROXIES["snip"], higher_is_better=False))
    scores = pd.DataFrame({"snip": [1.0, 2.0], "flops": [7.0, 7.0]})
    for ranking in (find_ranking("log_rank:snip", ()), find_ranking("log_rank:snip,flops", ())):
        assert places(ranking, scores).tolist() == [1, 2]


def test_an_undefined_member_is_left_out_for_its_network_alone() -> None:
    scores = pd.DataFrame({"snip": [1.0, 2.0, 3.0], "flops": [3.0, 2.0, NAN]})
    ranking = find_ranking("log_rank", list(scores))
    found = points(ranking, scores)
    assert found.tolist() == pytest.approx([math.log(1 / 3), math.log(2 / 3) + math.log(1 / 2), 0])
    assert dropped(ranking, scores).tolist() == ["", "", "log_rank: ranked without flops"]


def test_a_member_that_no_network_has_changes_nothing() -> None:
    scores = pd.DataFrame({"snip": [1.0, 2.0], "flops": [5.0, 5.0], "zen": [NAN, NAN]})
    with_it = find_ranking("log_rank:snip,flops,zen", ())
    assert places(with_it, scores).tolist() == places(without(with_it, "zen"), scores).tolist()


def test_a_network_without_any_member_is_last_and_named() -> None:
    scores = pd.DataFrame({"snip": [1.0, NAN], "flops": [1.0, NAN]})
    ranking = find_ranking("log_rank", list(scores))
    assert places(ranking, scores).tolist() == [1, 2]
    assert dropped(ranking, scores)[1] == "log_rank: ranked last, without any of snip, flops"


def test_one_more_network_can_change_the_order_of_the_others() -> None:
    """This is what the documentation warns of: a third network turns the other two around."""
    ranking = find_ranking("log_rank:snip,flops", ())
    scores = pd.DataFrame({"snip": [1.0, 2.0, 1.5], "flops": [2.0, 1.0, 0.5]})
    both, three = places(ranking, scores[:2]), places(ranking, scores)
    assert both.tolist() == [1, 1]
    assert three[0] != three[1]


def table_of(**choices: object) -> pd.DataFrame:
    """Three small networks, ranked."""
    torch.manual_seed(0)
    models = {
        f"width {w}": nn.Sequential(nn.Linear(4, w), nn.ReLU(), nn.Linear(w, 2)) for w in (3, 9, 5)
    }
    images = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
    return rank(models, (images, torch.tensor([0, 1] * 3)), **choices)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "by", [*RANKINGS, "log_rank", "log_rank:snip,zen", "mean_rank:snip,zen", "snip+zen"]
)
def test_what_a_ranking_needs_is_scored_with_it(by: str) -> None:
    table = table_of(by=by)
    asked = [name for name in table if name in PROXIES]
    ranking = find_ranking(by, asked)
    assert set(scores_of(ranking)) <= set(asked)
    assert table["rank"].tolist() == places(ranking, table).tolist()
    for member in ranking.members:
        expected = places(without(ranking, member), table).tolist()
        assert table[f"rank_without_{member}"].tolist() == expected


def test_a_ranking_says_what_it_ranks_without() -> None:
    """One sample has no correlations."""
    table = rank(
        {"one": nn.Linear(2, 2), "two": nn.Linear(2, 2)},
        (torch.ones(1, 2), torch.tensor([0])),
        by="log_rank:jacob_cov,params",
    )
    assert table["why"].str.contains("log_rank: ranked without jacob_cov").all()
    assert table["rank"].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("by", "message"),
    [
        ("snop", "cannot rank by 'snop'; choose one of snip, params, or a ranking: vote"),
        ("vote", "cannot rank by 'vote' without synflow, jacob_cov; add"),
        ("log_rank:snip,zen", "without zen"),
        ("log_rank:", "names no score"),
        ("log_rank:,", "names no score"),
        ("snip+", "lacks a score beside a comma"),
        ("snip+params+snip", "names a score twice"),
    ],
)
def test_what_cannot_be_ranked_by(by: str, message: str) -> None:
    with pytest.raises(ForetellError, match=message):
        table_of(proxies=["snip", "params"], by=by)


def test_an_unknown_score_of_log_rank_is_named() -> None:
    with pytest.raises(ForetellError, match="did you mean 'snip'"):
        table_of(by="log_rank:snib,params")


def test_the_family_is_no_entry_of_its_own() -> None:
    assert not set(FAMILIES) & set(RANKINGS)
    assert np.isnan(points(find_ranking("log_rank:zen", ()), pd.DataFrame({"zen": [NAN]}))[0])


def test_vkdnw_decides_between_networks_of_as_many_tensors() -> None:
    scores = pd.DataFrame({"parameter_tensors": [4.0, 4.0, 6.0, 4.0], "vkdnw": [2, 1, 0, NAN]})
    assert places(RANKINGS["vkdnw_single"], scores).tolist() == [2, 3, 1, 4]


def test_vkdnw_agg_by_hand() -> None:
    """Ranks 1, 2, 3 of the first member; all others are equal."""
    names = scores_of(RANKINGS["vkdnw_agg"])
    scores = pd.DataFrame({name: [1.0] * 3 for name in names}).assign(vkdnw=[1.0, 2.0, 3.0])
    found = points(RANKINGS["vkdnw_agg"], scores)
    assert found.tolist() == pytest.approx(
        [math.log(k / 3) + 4 * math.log(2 / 3) for k in (1, 2, 3)]
    )


def test_a_score_that_disagrees_with_size_does_not_count() -> None:
    scores = pd.DataFrame({
        "rmin": [1.0, 2.0, 3.0, 4.0], "d8": [1.0, 2.0, 4.0, 3.0], "jacob_cov": [4.0, 3.0, 2.0, 1.0],
        "flops_used": [1.0, 2.0, 3.0, 4.0], "nwot": [1.0, 2.0, 3.0, NAN],
    })  # fmt: skip
    # The ranks of the anchors add up to 1 + 2, 2 + 3, 3 + 4 and 4 + 1: with ties, 1, 2.5, 4, 2.5.
    agreement = {
        "rmin": np.corrcoef([1, 2, 3, 4], [1, 2.5, 4, 2.5])[0, 1],
        "d8": np.corrcoef([1, 2, 4, 3], [1, 2.5, 4, 2.5])[0, 1],
        "flops_used": np.corrcoef([1, 2, 3, 4], [1, 2.5, 4, 2.5])[0, 1],
    }
    total = sum(rho**2 for rho in agreement.values())
    expected = [
        sum(rho**2 * math.log(scores[name].rank()[row] / 4) for name, rho in agreement.items())
        / total
        for row in range(4)
    ]
    assert points(RANKINGS["anchored"], scores).tolist() == pytest.approx(expected)


def test_without_its_anchors_or_if_nothing_agrees_all_scores_count_alike() -> None:
    scores = pd.DataFrame({"rmin": [1.0, 2.0], "d8": [2.0, 1.0]})
    empty = scores.assign(jacob_cov=NAN, flops_used=NAN, nwot=NAN)
    assert points(RANKINGS["anchored"], empty).tolist() == pytest.approx([math.log(0.5) / 2] * 2)
