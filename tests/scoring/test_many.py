"""Scores over several batches and draws of the weights: mean, spread, and undefined runs."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

from foretell import Batch, ForetellError, rank, score, score_many
from foretell.progress import Progress
from foretell.scoring.many import summary


def net(width: int) -> Callable[[int], nn.Module]:
    """A function that builds a small network from a seed."""

    def build(seed: int) -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 3))

    return build


def batch(seed: int) -> Batch:
    """Six samples of three classes."""
    inputs = torch.randn(6, 4, generator=torch.Generator().manual_seed(seed))
    return Batch(inputs, torch.tensor([0, 1, 2, 0, 1, 2]))


def test_each_run_is_what_score_gives() -> None:
    """Each seed and batch has a row with its fingerprint and the scores of `score`."""
    batches = [batch(0), batch(1)]
    runs = score_many(net(5), batches, ["snip", "params"], seeds=[3, 4])
    assert runs["run"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert set(runs["batch"]) == {one.fingerprint for one in batches}
    for row in runs.to_dict(orient="records"):
        used = next(one for one in batches if one.fingerprint == row["batch"])
        alone = score(net(5)(row["seed"]), used, ["snip", "params"], seed=row["seed"])
        assert row["value"] == alone[row["proxy"]].value
    table = summary(runs)
    values = runs[runs["proxy"] == "snip"]["value"]
    assert table.loc["snip", "mean"] == pytest.approx(sum(values) / 4)
    variance = sum((value - sum(values) / 4) ** 2 for value in values) / 3
    assert table.loc["snip", "std"] == pytest.approx(math.sqrt(variance))
    assert table.loc["params", "std"] == 0
    assert table["runs"].tolist() == [4, 4]
    assert math.isnan(summary(runs[runs["run"] == 0]).loc["snip", "std"])


def test_undefined_runs_are_counted_and_kept_out_of_the_mean() -> None:
    """In this test, the weights drawn by one seed are frozen."""

    def sometimes(seed: int) -> nn.Module:
        return net(5)(seed).requires_grad_(seed > 0)

    seeds = [0, 1, 2]
    table = summary(score_many(sometimes, batch(0), ["snip"], seeds=seeds))
    defined = [score(net(5)(s), batch(0), ["snip"], seed=s)["snip"].value for s in (1, 2)]
    assert table.loc["snip", "undefined"] == 1
    assert table.loc["snip", "runs"] == 3
    assert table.loc["snip", "mean"] == pytest.approx(sum(defined) / 2)
    assert table.loc["snip", "why"]
    ranked = rank({"a": sometimes}, batch(0), ["snip"], seeds=seeds)
    assert ranked.loc["a", "why"].endswith("(in 1 of 3 runs)")
    never = summary(score_many(sometimes, [batch(0)], ["snip"]))
    assert math.isnan(never.loc["snip", "mean"])
    assert never.loc["snip", "undefined"] == 1


def test_models_are_ranked_by_their_means_each_on_its_own_batches() -> None:
    """A model that cannot be scored is listed last, with its reason."""
    models = {"small": net(2), "broken": lambda seed: nn.Linear(9, 3), "large": net(40)}
    seen: list[str] = []

    def batches(name: str) -> list[Batch]:
        seen.append(name)
        return [batch(0), batch(1)]

    table = rank(models, batches, ["snip", "params"], by="params", seeds=[0, 1])
    assert list(table.index) == ["large", "small", "broken"]
    assert table["rank"].tolist() == [1, 2, 3]
    assert seen == list(models)
    assert list(table.columns) == [
        "snip", "params", "snip_std", "params_std", "rank", "seconds", "why",
    ]  # fmt: skip
    assert "does not accept the batch" in table.loc["broken", "why"]
    once = rank(models, lambda _: batch(0), ["snip"])
    assert "snip_std" not in once


def test_what_makes_no_runs_is_refused() -> None:
    """One line each."""
    for function, models in ((score_many, net(2)), (rank, {"a": net(2)})):
        with pytest.raises(ForetellError, match="list of batches is empty; give at least one"):
            function(models, [])
        with pytest.raises(ForetellError, match="list of seeds is empty; give at least one"):
            function(models, batch(0), seeds=[])
        with pytest.raises(ForetellError, match=r"seeds is 3; give a list .* \[3\]"):
            function(models, batch(0), seeds=3)
    with pytest.raises(ForetellError, match="cannot rank by 'vote'"):
        rank({"a": net(2)}, batch(0), ["snip"], by="vote")


def test_progress_counts_runs_or_models() -> None:
    events: list[Progress] = []
    score_many(net(2), [batch(0), batch(1)], ["params"], seeds=[0, 1], progress=events.append)
    assert [(one.what, one.done, one.total) for one in events] == [
        ("score", number, 4) for number in (1, 2, 3, 4)
    ]
    events.clear()
    rank({"a": net(2), "b": net(3)}, batch(0), ["params"], seeds=[0, 1], progress=events.append)
    assert [(one.name, one.done, one.total) for one in events] == [("a", 1, 2), ("b", 2, 2)]
