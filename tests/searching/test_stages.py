"""First stages: short trainings of all networks, and full trainings of the best."""

from pathlib import Path
from typing import Any

import pytest
from torch import nn

from foretell import ForetellError, calibrate, search
from foretell.report.decision import decision
from foretell.report.page import Prose
from foretell.report.search import search_page
from foretell.runs.store import read_rows
from foretell.searching.read import read_search
from foretell.spaces import Choices
from foretell.training.settings import TrainSettings

TINY: dict[str, Any] = {
    "space": "nb201?channels=4,cells=1",
    "pool": 9,
    "trainings": 7,
    "batch_size": 16,
    "compare": True,
    "proxies": ["synflow"],
    "training": TrainSettings(epochs=9, batch_size=512, lr=0.05),
}


OWN = Choices(lambda width: nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), {"width": [1, 2]})


def trainings(run: Path) -> list[dict[str, Any]]:
    return [row for row in read_rows(run) if row["key"]["kind"] == "train"]


def test_halving_trains_fewer_networks_for_longer(tmp_path: Path) -> None:
    """It trains seven for one epoch, the best three for three, and the best one for nine."""
    run = tmp_path / "run"
    outcome = search(run=run, first_stage="halving", **TINY)
    assert (outcome.table.groupby("arm").size() == 1).all()
    by_epochs: dict[int, dict[str, float]] = {}
    for row in trainings(run):
        stage = by_epochs.setdefault(row["key"]["training"]["epochs"], {})
        stage[row["key"]["arch"]] = row["val_accuracy"]
    assert set(by_epochs) == {1, 3, 9}
    first = [row["arch"] for row in read_rows(run) if row["key"]["kind"] == "trained"]
    assert set(first) == set(by_epochs[9])
    worst_promoted = min(by_epochs[1][arch] for arch in by_epochs[3])
    assert sum(value > worst_promoted for value in by_epochs[1].values()) < 7
    again = search(run=run, first_stage="halving", **TINY)
    assert again.table.equals(outcome.table)
    with pytest.raises(ForetellError, match="another"):
        search(run=run, **TINY)


def test_calibrate_learns_from_the_first_stage(tmp_path: Path) -> None:
    """Networks that ended after one epoch or three are candidates with an early result."""
    run = tmp_path / "run"
    search(run=run, first_stage="halving", **{**TINY, "proxies": ["synflow", "params"]})
    found = calibrate(run)
    ended = found.candidates["epoch"].dropna().to_dict()
    by_arch: dict[str, int] = {}
    for row in trainings(run):
        by_arch[row["key"]["arch"]] = row["key"]["training"]["epochs"]
    assert found.trained == sum(epochs == 9 for epochs in by_arch.values())
    assert ended == {arch: epochs for arch, epochs in by_arch.items() if epochs < 9}
    assert "ended at epoch 1" in " ".join(found.statement)
    said = [block.text for block in decision(read_search(run)) if isinstance(block, Prose)]
    assert "ended at epoch 1" in said[0]


def test_the_report_counts_the_seconds_of_the_first_stage(tmp_path: Path) -> None:
    run = tmp_path / "run"
    search(run=run, first_stage="halving", **TINY)
    found = read_search(run)
    own = found.trained[found.trained["arm"] == "unscored"]
    before = [r["before"] for r in read_rows(run) if r["key"].get("arm") == "unscored"]
    assert own["spent"].iloc[0] == pytest.approx(before[0] + own["seconds"].iloc[0])
    assert any("--first-stage halving" in getattr(b, "text", "") for b in search_page(found).blocks)


def test_reduced_training_can_be_the_first_stage(tmp_path: Path) -> None:
    run = tmp_path / "run"
    few = {**TINY, "trainings": 3, "pool": 3, "space": "nb201?channels=6,cells=1"}
    outcome = search(run=run, first_stage="econas", **few)
    assert (outcome.table.groupby("arm").size() == 1).all()
    channels = {row["key"]["settings"]["channels"] for row in trainings(run)}
    assert channels == {4, 6}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"first_stage": "halfing"}, "did you mean 'halving'?"),
        ({"first_stage": "halving", "training": TrainSettings(epochs=2)}, "needs at least 3"),
        ({"first_stage": "econas", "space": OWN}, "expected the settings channels and resolution"),
    ],
)
def test_an_impossible_first_stage_is_refused(
    change: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(ForetellError, match=said):
        search(run=tmp_path / "run", **(TINY | change))
    assert not (tmp_path / "run").exists()
