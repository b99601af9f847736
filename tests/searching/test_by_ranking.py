"""A search that chooses by a ranking of several scores, and proxies of a file."""

import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import nn

from foretell import ForetellError, TrainSettings, rank, score, search
from foretell.cli import main
from foretell.proxies import PROXIES
from foretell.proxies.plugins import unregister
from foretell.rankings import find_ranking, places
from foretell.runs.store import read_rows

TINY: dict[str, Any] = {
    "space": "nb201?channels=4,cells=1",
    "pool": 5,
    "trainings": 2,
    "batch_size": 16,
    "training": TrainSettings(epochs=1, batch_size=128, lr=0.05),
}
FILE = """
import torch
def smallest(weights):
    "Minus the number of weights."
    return -torch.tensor(float(sum(w.numel() for w in weights.values())))
"""


def scores_in(run: Path) -> pd.DataFrame:
    """The scores of all networks of a run, by architecture."""
    rows = [row for row in read_rows(run) if row["key"]["kind"] == "score"]
    records = [(r["key"]["arch"], r["key"]["proxy"], r["value"]) for r in rows]
    frame = pd.DataFrame(records, columns=["arch", "proxy", "value"])
    return frame.pivot(index="arch", columns="proxy", values="value")


@pytest.mark.parametrize("by", ["vote", "grad_norm+params"])
def test_the_best_of_the_pool_by_a_ranking_are_trained(by: str, tmp_path: Path) -> None:
    outcome = search(run=tmp_path / "run", by=by, **TINY)
    found = scores_in(tmp_path / "run")
    assert len(found) == TINY["pool"]
    rank_of = places(find_ranking(by, ()), found)
    trained = outcome.table.loc["scored"].index
    assert max(rank_of[trained]) <= sorted(rank_of)[1]
    assert outcome.table[by].notna().all()
    if by != "vote":
        assert main(["report", str(tmp_path / "run")]) == 0


def test_what_a_ranking_needs_is_scored_without_being_asked_for(tmp_path: Path) -> None:
    outcome = search(
        run=tmp_path / "run", by="l2_norm+params", **TINY | {"trainings": 1, "pool": 2}
    )
    assert {"l2_norm", "params"} <= set(outcome.table)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"by": "vote", "proxies": ["snip", "params"]}, "without synflow, jacob_cov"),
        ({"by": "vot"}, "cannot choose by 'vot'"),
        ({"by": "snip+synflo"}, "no proxy is called 'synflo'; did you mean 'synflow'"),
        ({"by": "vote", "searcher": "aging_evolution?moves=1"}, "moves compares scores of single"),
    ],
)
def test_what_cannot_be_chosen_by_is_refused(
    settings: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ForetellError, match=message):
        search(run=tmp_path / "run", **TINY, **settings)
    assert not (tmp_path / "run").exists()


@pytest.fixture
def file(tmp_path: Path) -> Any:
    """A file with a proxy, which is forgotten at the end."""
    path = tmp_path / "mine.py"
    path.write_text(FILE)
    yield path
    if "smallest" in PROXIES:
        unregister("smallest")


def test_a_proxy_of_a_file_is_used_everywhere_also_in_workers(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["search", "--space", TINY["space"], "--run", str(tmp_path / "run"), "--pool", "3"]
    command += ["--trainings", "1", "--epochs", "1", "--batch-size", "16", "--workers", "2"]
    by = f"{file}:smallest"
    assert main([*command, "--proxies", f"{by},params", "--by", by]) == 0, capsys.readouterr().err
    found = scores_in(tmp_path / "run")
    assert (found["smallest"] <= -found["params"] * 0.5).all()
    assert "chosen by smallest" in capsys.readouterr().out
    models = ["nb201:333333?channels=2,cells=1", "nb201:000000?channels=2,cells=1"]
    assert main(["rank", *models, "--proxies", by, "--batch-size", "4", "--csv"]) == 0
    assert "nb201:000000" in capsys.readouterr().out.splitlines()[1]


def test_a_changed_file_is_read_again(file: Path) -> None:

    model, batch = nn.Linear(2, 2), (torch.ones(2, 2), torch.tensor([0, 1]))
    assert score(model, batch, f"{file}:smallest")["smallest"].value == -4
    file.write_text(FILE.replace("-torch", "torch"))
    os.utime(file, ns=(1, 1))
    assert score(model, batch, f"{file}:smallest")["smallest"].value == 4


def test_all_stands_for_every_proxy() -> None:

    table = rank([nn.Linear(2, 2)], (torch.ones(2, 2), torch.tensor([0, 1])), "all")
    assert set(PROXIES) <= set(table)
