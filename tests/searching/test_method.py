"""A search with costs: limits, the Pareto front, and the sources of costs."""

import itertools
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from foretell import ForetellError, search, tell
from foretell.cli import main
from foretell.report.search import search_page
from foretell.searching.read import read_search
from foretell.spaces import NASBench201
from foretell.tables import Table, write_table
from foretell.training.settings import TrainSettings

NB201 = NASBench201()
QUICK: dict[str, Any] = {
    "space": "nb201?channels=4,cells=1",
    "pool": 6,
    "trainings": 5,
    "batch_size": 16,
    "proxies": ["synflow", "params"],
    "searcher": "nsga2?population=3",
    "training": TrainSettings(epochs=1, batch_size=256, lr=0.05),
}


def test_a_search_within_limits(tmp_path: Path) -> None:
    """No network above a limit is trained, and the front and the figures of the costs exist."""
    run = tmp_path / "run"
    outcome = search(run=run, against=["params", "flops"], limits={"params": 8000}, **QUICK)
    assert outcome.table["params"].max() <= 8000
    assert set(outcome.front.columns) >= {"params", "flops", "val_accuracy"}
    scored = outcome.table.loc["scored"]
    best = scored.loc[scored["val_accuracy"].astype(float).idxmax()]
    assert outcome.front["val_accuracy"].max() == best["val_accuracy"]
    again = search(run=run, against=["params", "flops"], limits={"params": 8000}, **QUICK)
    assert again.table.equals(outcome.table)
    with pytest.raises(ForetellError, match="another"):
        search(run=run, against=["params"], limits={"params": 8000}, **QUICK)
    page = search_page(read_search(run))
    figures = {getattr(block, "name", "") for _, blocks in page.sections for block in blocks}
    assert {"cost-params", "cost-flops"} <= figures


def test_latency_is_measured_once(tmp_path: Path) -> None:
    common = {**QUICK, "trainings": 3, "against": ["latency"]}
    first = search(run=tmp_path / "run", **common)
    assert (first.table["latency"] > 0).all()
    assert search(run=tmp_path / "run", **common).table["latency"].equals(first.table["latency"])


def test_a_column_of_a_table_is_a_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORETELL_DATA", str(tmp_path))
    archs = list(itertools.product(range(5), repeat=6))
    texts = [NB201.format(arch) for arch in archs]
    frame = pd.DataFrame({"energy": [float(arch.count(3)) for arch in archs]}, texts)
    write_table(Table("hw", "nb201", frame, cost=("energy",)), tmp_path / "hw.parquet")
    outcome = search(run=tmp_path / "run", limits={"hw:energy": 1}, **QUICK)
    assert max(text.count("3x3") - text.count("pool") for text in outcome.short) <= 1
    with pytest.raises(ForetellError, match="no column 'energie'"):
        search(run=tmp_path / "other", limits={"hw:energie": 1}, **QUICK)
    assert not (tmp_path / "other").exists()


def test_networks_without_a_value_in_a_table_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No search stops on the way for lack of a cost; too few values are told before it begins."""
    monkeypatch.setenv("FORETELL_DATA", str(tmp_path))
    known = [NB201.format(arch) for arch in itertools.product(range(1, 4), repeat=6)]
    frame = pd.DataFrame({"energy": [float(number % 7) for number in range(len(known))]}, known)
    write_table(Table("part", "nb201", frame, cost=("energy",)), tmp_path / "part.parquet")
    few = frame.iloc[:3]
    write_table(Table("few", "nb201", few, cost=("energy",)), tmp_path / "few.parquet")
    outcome = search(run=tmp_path / "run", against=["part:energy"], **QUICK)
    assert set(outcome.short) <= set(known)
    assert outcome.table["part:energy"].notna().all()
    for against, pool, said in (
        ("few:energy", 6, "few:energy has no value for any of 300 architectures"),
        ("part:energy", 730, "a pool of 730 is more than the 496 networks of nb201 that have a"),
    ):
        with pytest.raises(ForetellError, match=said):
            search(run=tmp_path / "other", against=[against], **(QUICK | {"pool": pool}))
    with pytest.raises(ForetellError, match="of which part:energy, a cost of the search, has no"):
        tell(tmp_path / "run", {"000000": 70.0})
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--against", "params"], "searcher random does not optimise costs; use nsga2"),
        (["--against", "parms", "--searcher", "nsga2"], "did you mean 'params'?"),
        (["--limit", "params"], "write COST=NUMBER"),
        (["--limit", "weight=3"], "no cost is called 'weight'"),
        (["--searcher", "nsga2?population=1"], "population is 1; expected"),
        (["--searcher", "nsga2?costs=3"], "has no setting 'costs' here; use the option 'against'"),
        (["--max-params", "10", "--pool", "3", "--trainings", "1"], "raise the limits"),
    ],
)
def test_invalid_options_are_refused_in_one_line(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--space", "nb201?channels=4,cells=1", "--workers", "1"]
    assert main(["search", "--run", str(tmp_path / "run"), *small, *words]) == 2
    error = capsys.readouterr().err.strip()
    assert said in error
    assert error.count("\n") == 0


def test_the_front_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    space = ["--space", "nb201?channels=4,cells=1", "--searcher", "nsga2?population=3"]
    words = [*space, "--pool", "6", "--trainings", "5", "--epochs", "1", "--workers", "1"]
    run = ["--run", str(tmp_path / "run"), "--proxies", "synflow"]
    assert main(["search", *words, *run, "--max-flops", "1e6", "--against", "flops"]) == 0
    assert "scored" in capsys.readouterr().out
    config = json.loads((tmp_path / "run" / "run.json").read_text())
    assert "flops" in json.dumps(config)
