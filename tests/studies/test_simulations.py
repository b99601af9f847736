"""Simulated searches: rows, resuming, curves, the command, and its report."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from foretell.cli import main
from foretell.errors import ForetellError
from foretell.proxies import PROXIES
from foretell.report import write_report
from foretell.runs.store import read_rows
from foretell.spaces import Subset, enumerate_space, make_space
from foretell.studies.curves import bands, needed, speedups
from foretell.studies.run import run_study
from foretell.studies.searches import benchmark_of, run_simulations
from foretell.studies.simulate import Benchmark, best_so_far, simulate
from foretell.studies.simulations import read_simulations
from foretell.tables import Table, write_table

SPACE = make_space("nb201")
ARCHS = list(enumerate_space(SPACE))[::40]
FRAME = pd.DataFrame(
    {
        "val": [70.0 + SPACE.canonical(arch).count(3) for arch in ARCHS],
        "test": [60.0 + SPACE.canonical(arch).count(3) for arch in ARCHS],
    },
    index=[SPACE.format(arch) for arch in ARCHS],
)
TABLE = Table("mine", "nb201", FRAME, choosing=("val",), reporting=("test",))
TRUE = Benchmark(TABLE, FRAME["val"])


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of forty cells."""
    return run_study(
        TABLE,
        "digits",
        run=tmp_path_factory.mktemp("scored") / "run",
        proxies=["params"],
        sample=40,
        batch_size=4,
        space="nb201?channels=2,cells=1",
    )


def searched(scored: Path, folder: Path, seeds: int = 3, **more: object) -> Path:
    options = {
        "strategies": ["random", "random?warmup=20"],
        "by": "params",
        "trainings": 10,
        "seeds": seeds,
    }
    return run_simulations(scored, run=folder, **{**options, **more})  # type: ignore[arg-type]


def test_a_true_score_finds_the_best_at_once() -> None:
    found = simulate(TRUE, "random?warmup=400", "val", 3, seed=0)
    assert FRAME["val"].iloc[found.trained[0]] == FRAME["val"].max()
    assert found.scored == (len(set(map(SPACE.canonical, ARCHS))),) * 3


def test_scores_are_counted_when_they_are_made() -> None:
    found = simulate(TRUE, "aging_evolution?population=3,tournament=2,moves=1,mix=0", "val", 8, 0)
    assert found.scored[:3] == (0, 0, 0)
    assert list(found.scored) == sorted(found.scored)
    assert found.scored[3] > 0


def test_a_part_of_a_space_is_searched_within_the_part() -> None:
    assert isinstance(TRUE.space, Subset)
    few = Benchmark(TABLE, FRAME["val"].iloc[::8])
    classes = {SPACE.canonical(arch) for arch in ARCHS[::8]}
    assert all(SPACE.canonical(arch) in classes for arch in few.rows)
    trained = simulate(few, "aging_evolution?population=4,tournament=2", "val", 20, seed=1).trained
    assert len(set(trained)) == len(trained) == 20


def test_no_isomorph_is_trained_twice() -> None:
    found = simulate(TRUE, "random", "val", 10_000, seed=0)
    assert len(found.trained) == len({SPACE.canonical(arch) for arch in ARCHS})


def test_the_choice_is_by_what_was_told() -> None:
    told, reported = [3.0, 5.0, float("nan"), 4.0], [1.0, 0.0, 9.0, 9.0]
    assert best_so_far(told, reported) == [1.0, 0.0, 0.0, 0.0]


def test_more_seeds_and_strategies_compute_what_is_missing(scored: Path, tmp_path: Path) -> None:
    whole = searched(
        scored, tmp_path / "whole", 4, strategies=["random", "local", "random?warmup=9"]
    )
    searched(scored, tmp_path / "parts", 2)
    calls: list[tuple[int, int | None]] = []
    parts = searched(
        scored,
        tmp_path / "parts",
        4,
        strategies=["random", "local", "random?warmup=9"],
        progress=lambda event: calls.append((event.done, event.total)),
    )
    assert calls == [(done, 12) for done in range(1, 13)]
    of = {json.dumps(row["key"]): row for row in read_rows(parts)}
    for row in read_rows(whole):
        assert of[json.dumps(row["key"])]["trained"] == row["trained"]


def test_curves_hold_the_reported_values(scored: Path, tmp_path: Path) -> None:
    found = read_simulations(searched(scored, tmp_path / "run"))
    curves = found.curves("val", "test")
    assert {name: curve.shape for name, curve in curves.items()} == {
        "random": (3, 10),
        "random?warmup=20": (3, 10),
    }
    row = found.rows[0]
    line = curves[row.strategy].loc[row.seed]
    assert line.iloc[-1] == FRAME["test"].iloc[list(row.trained)].max()
    assert found.scored("val")["random?warmup=20"].to_numpy().min() == 20


def test_hours_are_of_what_was_trained_and_scored(
    scored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORETELL_DATA", str(tmp_path / "tables"))
    taken = pd.DataFrame({"seconds": np.arange(len(FRAME)) * 1e-3}, FRAME.index)
    write_table(
        Table("times", "nb201", taken, cost=("seconds",)), tmp_path / "tables/times.parquet"
    )
    run = searched(scored, tmp_path / "run")
    assert read_simulations(run).hours("val") == {}
    found = read_simulations(searched(scored, tmp_path / "run", seconds="times:seconds"))
    row = next(row for row in found.rows if row.strategy == "random?warmup=20")
    hours = found.hours("val")["random?warmup=20"].loc[row.seed]
    keys = found.benchmark.table.frame.index[list(row.trained)]
    score = found.config["scores"]["seconds"] * np.array(row.scored)
    assert row.scored[0] == 20
    np.testing.assert_allclose(hours * 3600, taken.loc[keys, "seconds"].cumsum() + score)
    assert read_simulations(searched(scored, tmp_path / "run")).seconds is not None
    with pytest.raises(ForetellError, match="minutes"):
        searched(scored, tmp_path / "run", seconds="times:minutes")


def test_speedups_against_a_dull_count() -> None:
    plain = pd.DataFrame([[1.0, 2, 3, 4, 5, 6, 7, 8]] * 100, columns=range(1, 9))
    helped = pd.DataFrame([[4.0, 8, 8, 8, 8, 8, 8, 8]] * 100, columns=range(1, 9))
    never = pd.DataFrame([[0.0] * 8] * 100, columns=range(1, 9))
    table = speedups({"a": plain, "a?warmup=1": helped, "a?moves=1": never}, at=(4, 8))
    assert table["helped"].tolist() == [1, 2, np.inf, np.inf]
    assert table["speedup"].tolist() == table["speedup_low"].tolist() == [4, 4, 0, 0]
    few = speedups({"a": plain[:99], "a?warmup=1": helped}, at=(4,))
    assert few["speedup"].tolist() == [4]
    assert few[["speedup_low", "speedup_high"]].isna().all(axis=None)  # too few seeds
    assert needed(plain, 4.5) == 5
    assert bands({"a": plain})["mean"].tolist() == [1, 2, 3, 4, 5, 6, 7, 8]


def test_the_command_and_its_report(
    scored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    command = ["study", "search", str(scored), "--run", str(run), "--by", "params"]
    command += ["--strategies", "random random?warmup=20", "--seeds", "2", "--trainings", "60"]
    assert main([*command, "--workers", "1"]) == 0
    text = capsys.readouterr().out
    assert "test of the best by val, 2 seeds" in text
    assert "random?warmup=20" in text
    assert main([*command, "--workers", "1", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {row["strategy"] for row in rows} == {"random", "random?warmup=20"}
    pytest.importorskip("vl_convert")
    page = write_report(run)
    assert "--strategies &#x27;random random?warmup=20&#x27;" in page.read_text()
    assert (page.parent / "curves-val-test-random.svg").exists()
    assert "test of the network with the best val" in page.read_text()


def test_wrong_requests_are_refused_in_one_line(
    scored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ["--run", str(tmp_path / "run"), "--workers", "1", "--by", "params"]
    for arguments in (
        [str(tmp_path / "nowhere"), *run],
        [str(scored), *run[:-1], "synflow"],
        [str(scored), *run, "--strategies", "randm"],
        [str(scored), *run, "--strategies", "random?moves=1"],
        [str(scored), *run, "--told", "vall"],
        [str(scored), *run, "--seeds", "0"],
    ):
        assert main(["study", "search", *arguments]) == 2, arguments
        error = capsys.readouterr().err
        assert error.startswith("foretell: ")
        assert error.count("\n") == 1
    searched(scored, tmp_path / "a")
    with pytest.raises(ForetellError, match=r"other settings|another kind"):
        run_simulations(scored, run=scored, by="params", seeds=1)


def test_a_score_of_which_less_is_better_is_turned(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pd.DataFrame({"params": FRAME["val"]})
    plain = benchmark_of(TABLE, frame, "params", {})
    monkeypatch.setitem(PROXIES, "params", replace(PROXIES["params"], higher_is_better=False))
    turned = benchmark_of(TABLE, frame, "params", {})
    pd.testing.assert_series_equal(turned.scores, -plain.scores)
    found = simulate(turned, "random?warmup=400", "val", 1, seed=0)
    assert FRAME["val"].iloc[found.trained[0]] == FRAME["val"].min()
