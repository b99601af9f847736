"""A study from start to end: rows, resuming, evaluation, and refused arguments."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from foretell.cli import main
from foretell.errors import ForetellError
from foretell.runs.rowfile import ROWS
from foretell.runs.store import read_rows
from foretell.spaces import make_space
from foretell.studies.judging import early_columns, judge, truth_columns
from foretell.studies.read import drawn, read_study
from foretell.studies.run import run_study
from foretell.studies.table import COLUMNS
from foretell.tables import Table, read_table, write_table
from tests.support.processes import started
from tests.support.rows import lines_of, put_lines

SPACE = "nb201?channels=2,cells=1"
CHEAP = ["snip", "synflow", "jacob_cov", "params", "flops"]


def a_table(lower: bool = False) -> Table:
    """Sixty cells whose truth is the number of parameters with some noise."""
    space = make_space("nb201")
    rng = np.random.default_rng(0)
    archs = [tuple(map(int, rng.integers(0, 5, 6))) for _ in range(60)]
    keys = list(dict.fromkeys(space.format(arch) for arch in archs))
    size = np.array([sum(int(o in "23") for o in "".join(map(str, space.parse(k)))) for k in keys])
    values = 70 + size + rng.normal(0, 0.5, len(keys))
    frame = pd.DataFrame(
        {"cifar10_valid_12": values - 20, "cifar10_test_200": values, "seconds": 1.0}, index=keys
    )
    return Table(
        "mine",
        "nb201",
        frame,
        choosing=("cifar10_valid_12",),
        reporting=("cifar10_test_200",),
        cost=("seconds",),
        lower_is_better=("cifar10_test_200",) if lower else (),
    )


def study(folder: Path, **more: object) -> Path:
    """A study of eight tiny cells on the digits."""
    options = {"run": folder, "proxies": CHEAP, "sample": 8, "batch_size": 8, "space": SPACE}
    return run_study(a_table(), "digits", **{**options, **more})  # type: ignore[arg-type]


def comparable(folder: Path) -> list[str]:
    """The rows in order of their keys, without the times."""
    rows = read_rows(folder)
    timeless = [{k: v for k, v in row.items() if k not in ("seconds", "history")} for row in rows]
    return sorted(json.dumps(row, sort_keys=True) for row in timeless)


def test_a_study_finds_the_truth_that_was_put_in(tmp_path: Path) -> None:
    found = judge(read_study(study(tmp_path / "run", sample=30)))
    table = found["cifar10_test_200"]
    assert set(table.columns) == {*COLUMNS, "published"}
    assert table.loc["params", "spearman"] > 0.6
    assert table.loc["early@12", "spearman"] == pytest.approx(1.0)
    assert table.loc["early@12", "kind"] == "reduced"
    assert table.loc["vote", "kind"] == "ranking"
    assert (table["n"] == 30).all()
    assert (table["spearman_low"] <= table["spearman"]).all()


def test_a_truth_of_which_less_is_better_turns_the_signs(tmp_path: Path) -> None:
    folder = run_study(
        a_table(lower=True), "digits", run=tmp_path, proxies=["params"], sample=20, space=SPACE
    )
    table = judge(read_study(folder))["cifar10_test_200"]
    assert table.loc["params", "spearman"] < -0.7
    assert table.loc["params", "sign"] == "wrong"


def test_more_proxies_repeats_and_architectures_compute_what_is_missing(tmp_path: Path) -> None:
    whole = study(tmp_path / "whole", repeats=2)
    grown = tmp_path / "grown"
    study(grown, sample=5, proxies=["snip"])
    first = read_rows(grown)
    study(grown, sample=5)
    study(grown)
    study(grown, repeats=2)
    assert read_rows(grown)[: len(first)] == first
    assert comparable(grown) == comparable(whole)
    assert len(read_rows(grown)) == 8 * 2 * len(CHEAP)
    assert len(read_study(grown).runs) == 2


def test_the_rows_do_not_depend_on_the_number_of_workers(tmp_path: Path) -> None:
    assert comparable(study(tmp_path / "one")) == comparable(study(tmp_path / "two", workers=2))


def test_isomorphic_cells_are_drawn_once_and_a_larger_sample_begins_with_the_smaller() -> None:
    table, space = a_table(), make_space("nb201")
    few, many = list(drawn(table, space, 3, 6)), list(drawn(table, space, 3, None))
    assert many[:6] == few
    classes = [canonical for _, canonical in many]
    assert len(set(classes)) == len(classes)
    assert {space.format(space.canonical(space.parse(k))) for k in table.frame.index} == set(
        classes
    )


def test_an_unfinished_study_can_be_read(tmp_path: Path) -> None:
    folder = study(tmp_path / "run")
    put_lines(folder, lines_of(folder)[:-2])
    rows = read_study(folder)
    assert len(rows.runs[0]) == 7  # the last cell lacks two scores
    assert comparable(study(folder)) == comparable(study(tmp_path / "calm"))


def test_reduced_training_stands_beside_the_scores(tmp_path: Path) -> None:
    folder = study(tmp_path, sample=3, reduced=["econas"], proxies=["params"])
    rows = read_study(folder)
    assert list(rows.reduced) == ["econas"]
    assert rows.reduced["econas"].between(0, 100).all()
    assert rows.minibatches["econas"] == 20 * 18  # epochs, batches of 64 of 1,096 images
    assert rows.seconds["econas"] > 0
    assert "econas" in judge(rows)["cifar10_test_200"].index
    before = read_rows(folder)
    study(tmp_path, sample=3, reduced=["econas"], proxies=["params"])
    assert read_rows(folder) == before


def test_a_zoo_is_a_benchmark(tmp_path: Path) -> None:
    names = [f"pytorchcv:resnet{n}_cifar10" for n in (20, 56)] + ["pytorchcv:preresnet20_cifar10"]
    frame = pd.DataFrame({"top1_err": [6.0, 4.5, 6.5]}, index=names)
    table = Table("zoo", "models", frame, reporting=("top1_err",), lower_is_better=("top1_err",))
    folder = run_study(
        table, "random:3x16x16x10", run=tmp_path, proxies=["params", "l2_norm"], batch_size=4
    )
    found = judge(read_study(folder))["top1_err"]
    assert found.loc["params", "n"] == 3
    assert found.loc["params", "spearman"] > 0


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"sample": 2}, "at least 3"),
        ({"repeats": 0}, "repeats is 0"),
        ({"space": "macro"}, "is of space nb201, not macro"),
        ({"reduced": ["econa"]}, "did you mean 'econas'"),
        ({"proxies": ["snap"]}, "snap"),
    ],
)
def test_what_cannot_be_studied_is_refused(
    more: dict[str, object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ForetellError, match=message):
        study(tmp_path / "run", **more)
    assert not (tmp_path / "run").exists()


def test_columns_have_one_use() -> None:
    table = a_table()
    assert early_columns(table, "cifar10_test_200") == {12: "cifar10_valid_12"}
    assert early_columns(table, "cifar10_valid_12") == {}
    assert truth_columns(table, []) == ["cifar10_test_200"]
    with pytest.raises(ForetellError, match="did you mean 'cifar10_test_200'"):
        truth_columns(table, ["cifar10_tests_200"])


def test_another_configuration_needs_another_folder(tmp_path: Path) -> None:
    study(tmp_path)
    with pytest.raises(ForetellError, match="batch_size"):
        study(tmp_path, batch_size=9)


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, run = tmp_path / "mine.parquet", tmp_path / "run"
    write_table(a_table(), path)
    command = ["study", str(path), "--run", str(run), "--space", SPACE, "--sample", "5"]
    assert main([*command, "--proxies", "params,flops", "--workers", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {row["score"] for row in found["rows"]} >= {"params", "flops", "early@12"}
    assert main([*command, "--truth", "seconds"]) == 2
    assert main(["study", str(tmp_path / "none.parquet")]) == 2
    assert main([*command[:-1], "few"]) == 2
    path.write_bytes(path.read_bytes()[:-100])
    assert main(command) == 2
    errors = capsys.readouterr().err.strip().splitlines()
    assert len(errors) == 4
    assert all(line.startswith("foretell: ") for line in errors)


def test_a_run_carries_its_table(tmp_path: Path) -> None:
    folder = study(tmp_path)
    assert read_table(folder / "table.parquet").checksum == a_table().checksum


def test_killed_in_the_middle_it_continues(tmp_path: Path) -> None:
    path, run = tmp_path / "mine.parquet", tmp_path / "run"
    write_table(a_table(), path)
    command = [sys.executable, "-m", "foretell", "study", str(path), "--run", str(run)]
    command += ["--space", SPACE, "--sample", "12", "--proxies", "snip,params", "--workers", "1"]
    with started(*command, "--batch-size", "8") as process:
        while process.poll() is None and not (run / ROWS).exists():
            pass
    kept = len(read_rows(run))
    run_study(
        a_table(),
        "digits",
        run=run,
        proxies=["snip", "params"],
        sample=12,
        batch_size=8,
        space=SPACE,
    )
    calm = run_study(
        a_table(), "digits", run=tmp_path / "calm", proxies=["snip", "params"], sample=12,
        batch_size=8, space=SPACE,
    )  # fmt: skip
    assert kept <= 24
    assert comparable(run) == comparable(calm)
