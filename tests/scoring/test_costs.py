"""Accuracy against cost: NSGA-II, limits, and what no other network is better than."""

import itertools
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell import ForetellError, search
from foretell.cli import main
from foretell.report.search import search_page
from foretell.scoring.costs import COSTS
from foretell.searchers import Question, make_searcher
from foretell.searching.pareto import hypervolume, undominated
from foretell.searching.read import read_search
from foretell.spaces import Arch, NASBench201, Within, mutate, sample
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


def accuracy(arch: Arch) -> float:
    """More convolutions, better; pooling hurts."""
    return 3.0 * arch.count(3) + arch.count(2) - arch.count(4)


def convolutions(arch: Arch) -> list[float]:
    return [9.0 * arch.count(3) + arch.count(2)]


def front_area(archs: list[Arch]) -> float:
    points = np.array([[-accuracy(arch), *convolutions(arch)] for arch in archs])
    return hypervolume(points, (7.0, 55.0))


def trained(name: str, seed: int, number: int, warmup: int = 0, **settings: Any) -> list[Arch]:
    searcher = make_searcher(name, NB201, seed, warmup=warmup, **settings)
    found: list[Arch] = []
    while len(found) < number:
        for question in searcher.ask(1):
            searcher.tell(question, accuracy(question.arch))
            found += [question.arch] if question.kind == "train" else []
    return found


def test_it_covers_more_than_random_search() -> None:
    """And more yet after a warmup on scores that tell the truth."""
    areas = {"random": 0.0, "nsga2": 0.0, "warm": 0.0}
    for seed in range(10):
        nsga2: dict[str, Any] = {"population": 10, "costs": convolutions}
        areas["random"] += front_area(trained("random", seed, 60))
        areas["nsga2"] += front_area(trained("nsga2", seed, 60, **nsga2))
        areas["warm"] += front_area(trained("nsga2", seed, 60, warmup=200, **nsga2))
    assert areas["random"] < areas["nsga2"] < areas["warm"]


def test_a_warmup_trains_what_it_came_to() -> None:
    """The first population that is trained is not dominated by much of what was scored."""
    settings: dict[str, Any] = {"population": 6, "costs": convolutions}
    searcher = make_searcher("nsga2", NB201, 0, warmup=100, **settings)
    scored: list[Arch] = []
    while (questions := searcher.ask(7))[0].kind == "score":
        for question in questions:
            searcher.tell(question, accuracy(question.arch))
            scored.append(question.arch)
    assert len({NB201.canonical(arch) for arch in scored}) == 100
    points = np.array([[-accuracy(arch), *convolutions(arch)] for arch in scored])
    first = [question.arch for question in searcher.ask(6)]
    best = {arch for arch, good in zip(scored, undominated(points), strict=True) if good}
    assert len(best & set(first)) >= 3


@given(st.lists(st.tuples(*[st.integers(0, 6)] * 3), min_size=1, max_size=25))
def test_the_front_is_what_no_other_dominates(rows: list[tuple[int, ...]]) -> None:
    points = np.array(rows, dtype=float)
    for row, good in zip(rows, undominated(points), strict=True):
        as_good = (all(map(int.__le__, one, row)) and one != row for one in rows)
        assert good == (not any(as_good))
    assert not undominated(np.array([[np.nan, 0.0]]))[0]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=12))
def test_the_hypervolume_is_the_area(rows: list[tuple[int, int]]) -> None:
    cells = itertools.product(range(8), range(8))
    area = sum(any(x <= i and y <= j for x, y in rows) for i, j in cells)
    assert hypervolume(np.array(rows, dtype=float), (8.0, 8.0)) == area


def test_what_costs_too_much_is_not_in_the_space() -> None:
    space = Within(NB201, lambda name, arch: arch.count(3), {"convolutions": 1})
    rng = random.Random(0)
    drawn = [sample(space, rng) for _ in range(50)]
    drawn += [mutate(space, arch, rng) for arch in drawn]
    assert max(arch.count(3) for arch in drawn) == 1
    with pytest.raises(ForetellError, match="not within the limits"):
        space.parse("333333")
    never = Within(NB201, lambda name, arch: 7 + arch.count(3), {"convolutions": 1})
    with pytest.raises(ForetellError, match="the least convolutions is 7; raise the limits"):
        sample(never, rng)


def test_a_search_within_limits(tmp_path: Path) -> None:
    """No network above a limit is trained; the front and the report's area are there."""
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


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--against", "params"], "searcher random weighs no costs; use nsga2"),
        (["--against", "parms", "--searcher", "nsga2"], "did you mean 'params'?"),
        (["--limit", "params"], "is no COST=NUMBER"),
        (["--limit", "weight=3"], "no cost is called 'weight'"),
        (["--searcher", "nsga2?population=1"], "has no pairs; give at least 2"),
        (["--searcher", "nsga2?costs=3"], "has no setting 'costs' here; it is what `against` says"),
        (["--max-params", "10", "--pool", "3", "--trainings", "1"], "raise the limits"),
    ],
)
def test_wrong_words_are_told_in_one_line(
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


def test_costs_are_those_of_the_network() -> None:
    import torch

    from foretell.batch import Batch

    batch = Batch(torch.zeros(2, 3, 32, 32), torch.zeros(2, dtype=torch.long))
    model = NB201.build(NB201.parse("333333"), 0)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert COSTS["params"].measure(model, batch) == sum(p.numel() for p in model.parameters())
    assert COSTS["flops"].measure(model, batch) > 1e7
    assert COSTS["latency"].measure(model, batch) > 0
    assert all(model.state_dict()[name].equal(tensor) for name, tensor in before.items())


def test_what_is_told_unasked_is_of_the_population() -> None:
    searcher = make_searcher("nsga2", NB201, 0, population=3, costs=convolutions)
    for text in ("333333", "000000", "222222"):
        arch = NB201.parse(text)
        searcher.tell(Question(arch, "train"), accuracy(arch))
    children = searcher.ask(3)
    assert len(children) == 3
    assert {NB201.canonical(child.arch) for child in children}.isdisjoint(
        NB201.canonical(NB201.parse(text)) for text in ("333333", "000000", "222222")
    )
