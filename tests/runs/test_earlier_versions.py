"""Run folders of an earlier version, in `before/`, can be opened and resumed.

Their row keys are tested byte for byte: a change of the keys would make all existing runs compute
everything again.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foretell import RunStateError, TrainSettings, load_chosen, retrain, tell
from foretell.cli import main
from foretell.report import write_report
from foretell.runs.config import COMMANDS
from foretell.runs.rowfile import LOG, ROWS
from foretell.runs.rowlog import canonical
from foretell.runs.store import read_rows
from foretell.searching.read import read_search
from foretell.studies.read import read_study
from foretell.studies.simulations import read_simulations
from tests.support.rows import lines_of

pytestmark = pytest.mark.filterwarnings("ignore:.* recorded no checksums")
BEFORE = Path(__file__).parent / "before"
JOBS = ["search", "study", "simulated"]
READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "read_search": ("search", read_search),
    "tell": ("search", lambda run: tell(run, {"333333": 90.0})),
    "retrain": ("search", lambda run: retrain(run, TrainSettings())),
    "read_study": ("study", read_study),
    "read_simulations": ("simulated", read_simulations),
}
"""What reads the run of one job."""
SPACE = ["--space", "nb201?channels=4,cells=1", "--batch-size", "8"]


def command(job: str, root: Path) -> list[str]:
    """The command that made the folder of this job, in a copy of `before`."""
    run = ["--run", str(root / job), "--csv", "--workers", "1"]
    if job == "search":
        small = ["--pool", "4", "--trainings", "2", "--epochs", "3", "--train-batch-size", "512"]
        aims = ["--proxies", "synflow,params", "--max-params", "100000"]
        return ["search", "--compare", *SPACE, *small, *aims, "--first-stage", "halving", *run]
    if job == "study":
        what = ["--sample", "4", "--proxies", "synflow,snip,params", "--reduced", "econas"]
        return ["study", str(root / "table.parquet"), *SPACE, *what, *run]
    strategies = ["--strategies", "random random?warmup=4"]
    counts = ["--by", "synflow", "--trainings", "3", "--seeds", "2"]
    return ["study", "search", str(root / "study"), *counts, *strategies, *run]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A writable copy."""
    return shutil.copytree(BEFORE, tmp_path / "before")


def keys_of(folder: Path) -> list[str]:
    """The keys in the file, read without our own parser."""
    found = []
    for line in map(bytes.decode, lines_of(folder)):
        start = line.index('"key":') + len('"key":')
        found.append(line[start : start + json.JSONDecoder().raw_decode(line[start:])[1]])
    return found


def comparable(folder: Path) -> dict[str, Any]:
    """The values of each row by its key, without times and versions."""
    loose = ("key", "seconds", "made_with", "before")
    return {
        canonical(row["key"]): {n: v for n, v in row.items() if n not in loose}
        for row in read_rows(folder)
    }


def assert_same(found: Any, expected: Any) -> None:
    """Both are equal, numbers up to what another processor may round differently.

    Such differences grow while a network is trained at a high learning rate, so that of a training
    only the number of epochs is compared.
    """
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        if "history" in expected:
            assert len(found["history"]) == len(expected["history"])
            return
        for name, value in expected.items():
            assert_same(found[name], value)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-4)
    else:
        assert found == expected


@pytest.mark.parametrize("job", JOBS)
def test_keys_are_what_canonical_json_makes_of_them(job: str) -> None:
    keys = keys_of(BEFORE / job)
    assert keys == [canonical(row["key"]) for row in read_rows(BEFORE / job)]


@pytest.mark.parametrize("job", JOBS)
def test_the_same_command_computes_nothing_again(job: str, root: Path) -> None:
    before, kept = lines_of(root / job), (root / job / LOG).read_bytes()
    assert main(command(job, root)) == 0
    assert (root / job / ROWS).exists()
    assert lines_of(root / job) == before
    assert (root / job / LOG).read_bytes() == kept


@pytest.mark.parametrize("job", JOBS)
def test_a_run_cut_short_continues_to_the_same_keys_and_values(job: str, root: Path) -> None:
    """The run is cut after some rows, so that every kind of row is computed again."""
    kept = {"search": 3, "study": 3, "simulated": 1}[job]
    lines = lines_of(root / job)
    reduced = [line for line in lines if b'"kind":"reduced"' in line]
    lines = [*lines[:kept], *reduced[:3]]  # the fourth is trained again, in about a second
    (root / job / LOG).write_bytes(b"".join(line + b"\n" for line in lines))
    assert main(command(job, root)) == 0
    assert lines_of(root / job)[: len(lines)] == lines
    assert sorted(keys_of(root / job)) == sorted(keys_of(BEFORE / job))
    assert_same(comparable(root / job), comparable(BEFORE / job))


def test_a_larger_sample_continues_a_study(root: Path) -> None:
    before = lines_of(root / "study")
    words = ["--sample", "6", "--proxies", "params,synflow,snip"]
    assert main([*command("study", root), "--reduced", "", *words]) == 0
    after = lines_of(root / "study")
    assert after[: len(before)] == before
    assert len(after) == len(before) + 2 * 3


def test_more_seeds_and_strategies_continue_simulated_searches(root: Path) -> None:
    before = lines_of(root / "simulated")
    more = ["--seeds", "3", "--strategies", "random local"]
    assert main([*command("simulated", root), *more]) == 0
    after = lines_of(root / "simulated")
    assert after[: len(before)] == before
    assert len(after) == 4 + 1 + 3


def test_they_are_read_as_they_were() -> None:
    found = read_search(BEFORE / "search")
    assert found.trained["arm"].tolist() == ["scored", "unscored"]
    assert found.best["val_accuracy"].tolist() == [10.0, 10.0]
    assert found.trained["synflow"].tolist() == [17.977848179922887, 17.71072055623218]
    rows = read_study(BEFORE / "study")
    assert rows.runs[0].shape == (4, 3)
    assert rows.reduced.columns.tolist() == ["econas"]
    assert rows.reduced.notna().all(axis=None)
    assert rows.minibatches == {"econas": 360}
    searches = read_simulations(BEFORE / "simulated")
    assert searches.curves("val", "val")["random"].shape == (2, 3)
    model = load_chosen(BEFORE / "search")
    assert sum(parameter.numel() for parameter in model.parameters()) == 11766


@pytest.mark.parametrize("job", JOBS)
def test_a_report_is_written_of_them(job: str, root: Path) -> None:
    pytest.importorskip("vl_convert")
    assert write_report(root / job).exists()


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize("name", READERS)
def test_a_run_of_another_job_is_refused_with_the_one_that_is_needed(
    name: str, job: str, root: Path
) -> None:
    wanted, read = READERS[name]
    command = {"simulated": "simulation"}
    if job == wanted:
        return
    made, needed = (COMMANDS[command.get(one, one)] for one in (job, wanted))
    with pytest.raises(RunStateError, match=f"is a run of `{made}`; .* of a run of `{needed}`"):
        read(root / job)


@pytest.mark.filterwarnings("default:.* recorded no checksums")
def test_a_command_notes_it_once_and_a_refusal_is_one_line(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = str(root / "study")
    assert main(["report", study, "--out", str(root / "page")]) == 0
    said = capsys.readouterr().err
    assert said.startswith(f"foretell: {study} was made by an earlier version, which recorded no")
    assert said.count("\n") == 1
    assert main(["study", "search", study, "--by", "nope", "--run", str(root / "new")]) == 2
    said = capsys.readouterr().err
    assert said == "foretell: the study has no scores 'nope'; did you mean 'snip'?\n"
