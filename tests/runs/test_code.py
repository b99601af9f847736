"""Rows of another version of a user's code are never taken for those of the current one.

A proxy, a loss, a space, a model's file or a table is changed between two runs of the same command
in the same folder: the values are those of the new version, and one line says what was left out.
What has not changed is read from the rows.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foretell import ForetellError, load_chosen, search
from foretell.cli import main
from foretell.errors import ForetellWarning
from foretell.proxies import PROXIES, register
from foretell.proxies.plugins import unregister
from foretell.report import write_report
from foretell.runs.code import current
from foretell.runs.rowfile import ROWS
from foretell.runs.rows import CodeRow
from foretell.runs.store import RunRows, Store, read_rows
from foretell.scoring.settings import ScoreSettings
from foretell.searchers import SEARCHERS, RandomSearch, SearcherEntry
from foretell.searching.read import read_search
from foretell.searching.retrain import retrain
from foretell.spaces import Choices
from foretell.studies.judging import judge
from foretell.studies.read import Rows, read_study
from foretell.studies.run import run_study
from foretell.studies.searches import run_simulations
from foretell.tables import Table, write_table
from foretell.training.settings import TrainSettings
from tests.support.processes import python
from tests.support.rows import lines_of

CELLS = ["333333", "133333", "233333", "331333", "332333"]
FRAME = pd.DataFrame({"val": [5.0, 4.0, 3.0, 2.0, 1.0]}, index=CELLS)
TABLE = Table("five", "nb201", FRAME, choosing=("val",))
TINY = "nb201?channels=2,cells=1"
SHORT = TrainSettings(epochs=1, batch_size=256, lr=0.05)


def mine(sign: float) -> Callable[..., Tensor]:
    """A proxy that has captured its sign."""

    def mine(parameters: dict[str, Tensor]) -> Tensor:
        """The number of parameters, or minus that."""
        return torch.tensor(sign * sum(p.numel() for p in parameters.values()))

    return mine


@pytest.fixture(autouse=True)
def no_proxy_stays() -> Iterator[None]:
    before = dict(PROXIES)
    yield
    for name in set(PROXIES) - set(before):
        unregister(name)


def as_proxy(function: Callable[..., Tensor]) -> None:
    PROXIES.pop("mine", None)
    register(source="these tests")(function)


def study(folder: Path, **more: Any) -> tuple[Rows, list[str]]:
    """A study of five cells, and the notices."""
    notices: list[str] = []
    options: dict[str, Any] = {"proxies": ["mine", "params"], "batch_size": 8, "space": TINY}
    run_study(TABLE, "digits", run=folder, told=notices.append, **{**options, **more})
    return read_study(folder), notices


def test_a_proxy_with_another_formula_has_other_rows(tmp_path: Path) -> None:
    as_proxy(mine(1.0))
    first, notices = study(tmp_path)
    assert notices == []
    as_proxy(mine(-1.0))
    second, notices = study(tmp_path)
    assert notices == ["left out 5 rows of another version of proxy mine"]
    assert (second.runs[0]["mine"] == -first.runs[0]["mine"]).all()
    assert second.left_out == notices[0]
    rho = [judge(rows)["val"].loc["mine", "spearman"] for rows in (first, second)]
    assert rho[0] == -rho[1] != 0
    lines = len(read_rows(tmp_path))
    assert lines == 3 * 5 + 2  # params once, mine twice; two versions of the code
    as_proxy(mine(1.0))
    again, _ = study(tmp_path)
    assert again.runs[0].equals(first.runs[0])
    assert len(read_rows(tmp_path)) == lines + 1


def test_the_same_code_is_read_from_the_rows(tmp_path: Path) -> None:
    as_proxy(mine(1.0))
    study(tmp_path)
    before = (tmp_path / ROWS).read_bytes()
    as_proxy(mine(1.0))
    _, notices = study(tmp_path)
    assert notices == []
    assert (tmp_path / ROWS).read_bytes() == before


def test_what_is_foretells_own_has_rows_as_always(tmp_path: Path) -> None:
    study(tmp_path, proxies=["params"])
    assert not [line for line in lines_of(tmp_path) if b"code" in line]


def test_a_proxy_that_is_not_asked_for_keeps_the_rows_it_has(tmp_path: Path) -> None:
    """Its code may not be at hand; a report is about the version that was used last."""
    for sign in (1.0, -1.0, 1.0):
        as_proxy(mine(sign))
        study(tmp_path)
    unregister("mine")
    rows, notices = study(tmp_path, proxies=["params", "flops"])
    assert notices == []
    assert (rows.runs[0]["mine"] == rows.runs[0]["params"]).all()


def test_rows_of_before_there_were_digests_are_another_version(tmp_path: Path) -> None:
    """And those of the newest version count where no version is recorded."""
    as_proxy(mine(1.0))
    study(tmp_path / "new", proxies=["mine"])
    rows = [row for row in read_rows(tmp_path / "new") if row["key"]["kind"] == "score"]
    digests = [{**row["key"]["code"]} for row in rows]
    old = [{**row, "key": {k: v for k, v in row["key"].items() if k != "code"}} for row in rows]
    record = {"key": CodeRow(0).key(), "code": {}}
    for first, last in ((old, rows), (rows, old)):
        with Store.open(tmp_path / str(first is old), {}) as store:
            for row in (record, *first, *last):
                store.add(row)
            found, left_out = current(store)
            assert list(found) == [record, *last]
            assert left_out == "left out 5 rows of another version of proxy mine"
    assert all(digest.keys() == {"proxy mine"} for digest in digests)


def squared(sign: float) -> Callable[[Tensor, Tensor], Tensor]:
    def squared(outputs: Tensor, targets: Tensor) -> Tensor:
        return sign * F.mse_loss(outputs, F.one_hot(targets, outputs.shape[1]).to(outputs))

    return squared


def test_a_loss_with_another_formula_has_other_rows(tmp_path: Path) -> None:
    one, two = (ScoreSettings(loss=squared(sign)) for sign in (1.0, 2.0))
    first, _ = study(tmp_path, proxies=["grad_norm"], scoring=one)
    second, notices = study(tmp_path, proxies=["grad_norm"], scoring=two)
    assert notices == ["left out 5 rows of another version of loss squared.<locals>.squared"]
    assert (second.runs[0] / first.runs[0] - 2).abs().max().item() < 1e-4
    third, _ = study(tmp_path, proxies=["grad_norm"], scoring=ScoreSettings(loss=squared(2.0)))
    assert third.runs[0].equals(second.runs[0])


SPACE = """
from torch import nn
from foretell.spaces import Choices

def build(width):
    return nn.Sequential(nn.Linear(30, {times} * width), nn.{act}(), nn.Linear({times} * width, 2))

mlp = Choices(build, {{"width": [2, 4, 8, 16]}})
"""


def own_search(folder: Path, *words: str) -> list[str]:
    common = ["--space", str(folder / "nets.py:mlp"), "--data", "breast_cancer", "--workers", "1"]
    small = ["--pool", "3", "--trainings", "1", "--epochs", "1", "--proxies", "synflow,params"]
    return ["search", *common, *small, "--run", str(folder / "run"), "--json", *words]


def test_a_space_whose_build_changes_is_scored_and_trained_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "nets.py"
    file.write_text(SPACE.format(times=1, act="ReLU"))
    assert main(own_search(tmp_path)) == 0
    first = {row["arch"]: row["params"] for row in json.loads(capsys.readouterr().out)["rows"]}
    file.write_text(SPACE.format(times=10, act="ReLU"))
    assert main(own_search(tmp_path)) == 0
    out, errors = capsys.readouterr()
    second = {row["arch"]: row["params"] for row in json.loads(out)["rows"]}
    assert "rows of another version of space nets.py:mlp" in errors
    assert errors.count("\n") == 1
    assert all(second[arch] > 5 * params for arch, params in first.items() if arch in second)
    assert sum(p.numel() for p in load_chosen(tmp_path / "run", str(file) + ":mlp").parameters())
    found = read_search(tmp_path / "run")
    assert set(found.trained["params"]) == set(second.values())
    assert "another version of space" in found.left_out
    assert main(own_search(tmp_path)) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(out)
    before = lines_of(tmp_path / "run")
    file.write_text(SPACE.format(times=1, act="ReLU"))
    assert main(own_search(tmp_path)) == 0
    assert set(first) == {row["arch"] for row in json.loads(capsys.readouterr().out)["rows"]}
    added = lines_of(tmp_path / "run")[len(before) :]
    assert len(added) == 1  # the record that the first version is current again


def test_a_search_by_a_changed_proxy_makes_other_choices(tmp_path: Path) -> None:
    space = Choices(nn.Linear, {"in_features": [30], "out_features": [2], "bias": [True, False]})
    options: dict[str, Any] = {
        "data": "breast_cancer",
        "run": tmp_path,
        "proxies": ["mine"],
        "by": "mine",
        "pool": 2,
        "trainings": 1,
        "training": SHORT,
    }
    as_proxy(mine(1.0))
    assert "bias=true" in search(space, **options).table.loc["scored"].index[0]
    as_proxy(mine(-1.0))
    outcome = search(space, **options)
    assert "bias=false" in outcome.table.loc["scored"].index[0]
    assert outcome.notice == "left out 2 rows of another version of proxy mine"
    trainings = [row for row in read_rows(tmp_path) if row["key"]["kind"] == "train"]
    assert len(trainings) == 2  # no network is trained again: a training depends on no proxy
    found = read_search(tmp_path)
    assert found.trained["arch"].tolist()[0] == outcome.table.loc["scored"].index[0]


def test_networks_of_a_changed_space_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A chosen network is loaded and trained with the code that is given, and a warning."""
    file, run = tmp_path / "nets.py", tmp_path / "run"
    file.write_text(SPACE.format(times=1, act="ReLU"))
    assert main(own_search(tmp_path)) == 0
    load_chosen(run, f"{file}:mlp")
    retrain(run, SHORT, space=f"{file}:mlp")
    capsys.readouterr()
    file.write_text(SPACE.format(times=1, act="GELU"))
    with pytest.warns(ForetellWarning, match="has changed since the run"):
        load_chosen(run, f"{file}:mlp")
    assert main(["retrain", str(run), "--epochs", "1", "--space", f"{file}:mlp"]) == 0
    errors = capsys.readouterr().err
    assert errors.startswith("foretell: the code of space nets.py:mlp has changed since")
    assert errors.count("\n") == 1
    file.write_text(SPACE.format(times=3, act="GELU"))
    with (
        pytest.warns(ForetellWarning, match="has changed since"),
        pytest.raises(ForetellError, match="whose code has changed; give the version of the run"),
    ):
        load_chosen(run, f"{file}:mlp")


def test_a_stopped_retraining_of_another_network_is_not_continued(tmp_path: Path) -> None:
    """Though its parameters have the same names and shapes."""
    file, run = tmp_path / "nets.py", tmp_path / "run"
    file.write_text(SPACE.format(times=1, act="ReLU"))
    assert main(own_search(tmp_path)) == 0
    longer = TrainSettings(epochs=3, batch_size=256, lr=0.05)

    class Stopped(Exception):
        pass

    def stop(event: Any) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        retrain(run, longer, space=f"{file}:mlp", progress=stop)
    file.write_text(SPACE.format(times=1, act="GELU"))
    epochs: list[int] = []
    with pytest.warns(ForetellWarning):
        retrain(run, longer, space=f"{file}:mlp", progress=lambda event: epochs.append(event.done))
    assert epochs == [1, 2, 3]


ZOO = "from torch import nn\n\ndef net(width=4):\n    return nn.Linear(30, {times} * width)\n"


def test_a_model_file_that_changes_is_scored_again(tmp_path: Path) -> None:
    file = tmp_path / "nets.py"
    names = [f"{file}:net?width={width}" for width in (2, 4, 8)] + ["torch.nn:Flatten"]
    frame = pd.DataFrame({"val": [1.0, 2.0, 3.0, 4.0]}, index=names)
    table = Table("zoo", "models", frame, choosing=("val",))
    notices: list[str] = []

    def scores() -> pd.DataFrame:
        options: dict[str, Any] = {"proxies": ["params"], "batch_size": 8}
        run_study(table, "breast_cancer", run=tmp_path / "run", told=notices.append, **options)
        return read_study(tmp_path / "run").runs[0]["params"]

    file.write_text(ZOO.format(times=1))
    first = scores()
    file.write_text(ZOO.format(times=2))
    second = scores()
    assert (second[names[:3]] == 2 * first[names[:3]]).all()
    assert len(notices) == 1
    assert f"1 row of another version of model {names[0]}" in notices[0]
    assert "Flatten" not in notices[0]


def test_a_table_of_costs_that_changes_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though its name and its columns are the same."""
    monkeypatch.setenv("FORETELL_DATA", str(tmp_path / "tables"))
    space = Choices(nn.Linear, {"in_features": [30], "out_features": [2], "bias": [True, False]})
    texts = [space.format((0, 0, bias)) for bias in (0, 1)]

    def found(costs: list[float]) -> Any:
        frame = pd.DataFrame({"ms": costs}, index=texts)
        table = Table("times", space.name, frame, cost=("ms",))
        write_table(table, tmp_path / "tables" / "times.parquet")
        options: dict[str, Any] = {"pool": 1, "trainings": 1, "training": SHORT, "by": "params"}
        options |= {"proxies": ["params"], "limits": {"times:ms": 2}}
        return search(space, "breast_cancer", run=tmp_path / "run", **options)

    assert found([1.0, 3.0]).table.index.get_level_values("arch").unique() == [texts[0]]
    outcome = found([3.0, 1.0])
    assert outcome.table.index.get_level_values("arch").unique() == [texts[1]]
    assert outcome.table["times:ms"].tolist() == [1.0]
    assert "of another version of cost times:ms" in outcome.notice
    assert read_search(tmp_path / "run").trained["times:ms"].tolist() == [1.0]


def test_a_searcher_that_changes_searches_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def searcher(turn: int) -> type:
        class Turned(RandomSearch):
            """Random search from another seed."""

            def __init__(self, space: Any, seed: int) -> None:
                super().__init__(space, seed + turn)

        return Turned

    study(tmp_path / "scored", proxies=["params"])

    def trained() -> list[Any]:
        options: dict[str, Any] = {"by": "params", "strategies": ["turned"], "seeds": 3}
        folder = run_simulations(tmp_path / "scored", run=tmp_path / "run", trainings=3, **options)
        return [row["trained"] for row in current(RunRows(folder))[0] if "trained" in row]

    found = []
    for turn in (0, 7, 0):
        entry = SearcherEntry(searcher(turn), "these tests", first=lambda pool: pool)
        monkeypatch.setitem(SEARCHERS, "turned", entry)
        found.append(trained())
    assert found[0] == found[2] != found[1]
    assert len(found[1]) == 3


def test_reports_say_what_is_left_out(tmp_path: Path) -> None:
    pytest.importorskip("vl_convert")
    for sign in (1.0, -1.0):
        as_proxy(mine(sign))
        study(tmp_path / "run")
    page = write_report(tmp_path / "run").read_text()
    assert "left out 5 rows of another version of proxy mine" in page
    fresh = shutil.copytree(tmp_path / "run", tmp_path / "fresh")
    shutil.rmtree(fresh / "report")
    assert write_report(fresh).read_text() == page


def test_a_user_file_and_its_neighbours_in_a_fresh_process(tmp_path: Path) -> None:
    """As the command line has it: the file beside the space changes, and nothing else."""
    (tmp_path / "parts.py").write_text("TIMES = 1\n")
    text = SPACE.format(times="parts.TIMES", act="ReLU")
    (tmp_path / "nets.py").write_text(text.replace("from torch", "import parts\nfrom torch", 1))
    words = own_search(tmp_path)
    first, second = (python("-m", "foretell", *words) for _ in range(2))
    assert (first.returncode, first.stderr, second.stderr) == (0, "", "")
    assert second.stdout == first.stdout
    (tmp_path / "parts.py").write_text("TIMES = 10\n")
    third = python("-m", "foretell", *words)
    assert "of another version of space nets.py:mlp" in third.stderr
    assert third.stdout != first.stdout
