"""Ranking several models: order, undefined scores, and models that cannot be scored."""

import pandas as pd
import pytest
import torch
from torch import nn

from foretell import ForetellError, rank, score
from foretell.engine.plan import DEFAULT
from foretell.proxies import PAPER, PROXIES
from foretell.rankings import RANKINGS, places, scores_of
from foretell.rankings.sizes import SIZES
from foretell.rankings.vote import vote
from foretell.scoring.rows import row_of


def net(width: int) -> nn.Module:
    """A small network with seeded weights."""
    with torch.random.fork_rng():
        torch.manual_seed(width)
        return nn.Sequential(
            nn.Conv2d(1, width, 3), nn.BatchNorm2d(width), nn.ReLU(), nn.Flatten(),
            nn.Linear(16 * width, 3),
        )  # fmt: skip


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Six images and labels."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(6, 1, 6, 6, generator=generator), torch.tensor([0, 1, 2, 0, 1, 2])


def test_rows_hold_what_score_gives(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    """This holds in any order, and for models that are built before or during the ranking."""
    widths = (2, 5, 3)
    table = rank({f"w{w}": net(w) for w in widths}, batch, DEFAULT)
    later = rank({f"w{w}": (lambda w=w: net(w)) for w in reversed(widths)}, batch, DEFAULT)
    pd.testing.assert_frame_equal(
        table.drop(columns="seconds").sort_index(), later.drop(columns="seconds").sort_index()
    )
    for width in widths:
        alone = score(net(width), batch)
        for name, one in alone.items():
            assert table.loc[f"w{width}", name] == one.value
    assert (table["rank"] == vote(table)).all()
    assert table["rank"].is_monotonic_increasing


def test_the_default_is_anchored_with_the_sizes(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    models = [net(w) for w in (2, 5, 3)]
    table = rank(models, batch)
    members = scores_of(RANKINGS["anchored"])
    assert list(table)[: len({*members, *SIZES})] == list(dict.fromkeys((*members, *SIZES)))
    assert table["rank"].equals(places(RANKINGS["anchored"], table))
    fewer = rank(models, batch, [name for name in members if name != "nwot"])
    assert "anchored" not in fewer
    assert fewer["rank"].tolist() == [1, 2, 3]


@pytest.mark.parametrize("by", [*PAPER, "params"])
def test_ranked_by_one_proxy(by: str, batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    """The first is the best in the proxy's own direction."""
    table = rank([net(w) for w in (2, 5, 3)], batch, by=by)
    best = table[by].max() if PROXIES[by].higher_is_better else table[by].min()
    assert table[by].iloc[0] == best
    assert table["rank"].iloc[0] == 1


def test_a_model_that_cannot_be_scored_stays_last_with_its_reason(
    batch: tuple[torch.Tensor, torch.Tensor],
) -> None:
    """A model that cannot be scored does not prevent the others from being scored."""
    table = rank({"good": net(2), "bad": nn.Linear(7, 3)}, batch, ["snip", "params"])
    assert list(table.index) == ["good", "bad"]
    assert table.loc["bad", ["snip", "params"]].isna().all()
    assert "does not accept the batch" in table.loc["bad", "why"]
    assert table.loc["good", "why"] == ""


def test_an_undefined_score_ranks_last_and_says_why() -> None:
    """The Jacobian of a constant network has no correlations."""
    dead = net(2)
    with torch.no_grad():
        dead[-1].weight.zero_()
    images = torch.randn(4, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    batch = (images, torch.tensor([0, 1, 2, 0]))
    table = rank({"dead": dead, "alive": net(2)}, batch, ["jacob_cov"])
    assert list(table.index) == ["alive", "dead"]
    assert "jacob_cov: " in table.loc["dead", "why"]


def test_bad_requests(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    """A single model, no models, and a column that does not exist are refused."""
    with pytest.raises(ForetellError, match="several models"):
        rank(net(2), batch)
    with pytest.raises(ForetellError, match="at least one"):
        rank([], batch)
    with pytest.raises(ForetellError, match="cannot rank by 'grasp'"):
        rank([net(2)], batch, ["snip"], by="grasp")


@pytest.mark.parametrize("error", [KeyError("width"), SystemExit("no such width")])
def test_what_building_a_model_raises_is_that_models_reason(
    error: BaseException, batch: tuple[torch.Tensor, torch.Tensor]
) -> None:
    """The other models keep their scores."""

    def build() -> nn.Module:
        raise error

    table = rank({"good": net(2), "bad": build}, batch, ["snip", "params"])
    assert list(table.index) == ["good", "bad"]
    assert table.loc["bad", "why"].startswith(f"the model cannot be built ({type(error).__name__}")
    assert table.loc["good", "why"] == ""


def test_an_interrupt_is_no_reason(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    """Ctrl-C ends the ranking instead of becoming the reason of one model."""

    def build() -> nn.Module:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rank({"good": net(2), "bad": build}, batch, ["params"])


def test_seconds_are_those_of_the_passes_of_each_run() -> None:
    """Passes are shared, so the slowest score of a run contains all of them."""
    runs = pd.DataFrame(
        {
            "run": [0, 0, 1, 1],
            "form": "full",
            "proxy": ["snip", "params"] * 2,
            "value": [1.0, 2.0, 3.0, 2.0],
            "seconds": [4.0, 1.0, 16.0, 2.0],
            "why": "",
        }
    )
    row = row_of(runs)
    assert row["seconds"] == 20.0
    assert (row["snip"], row["params"], row["params_std"], row["why"]) == (2.0, 2.0, 0.0, "")
    assert row_of(runs.assign(form=["reduced", "full"] * 2))["seconds"] == 23.0
