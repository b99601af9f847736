"""A search of a list of models by name: from ranked to trained."""

from pathlib import Path

import pytest

from foretell import ForetellError, TrainSettings, load_chosen, retrain, search
from foretell.cli import main
from foretell.runs.store import read_rows
from foretell.searching.read import read_search

QUICK = TrainSettings(epochs=1, lr=0.05)
NETS = """
from torch import nn
def small(width=2): return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.Linear(width, 10))
def broken(): return nn.Sequential(nn.Flatten(), nn.Linear(3, 10))
def unbuilt(): raise RuntimeError("no such layer")
"""
NAMES = ["cnn:1,4,1,ReLU,no,no,max", "cnn:2,4,3,ReLU,BN,yes,avg"]


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a file of models, in which the test runs."""
    (tmp_path / "nets.py").write_text(NETS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def kinds(run: str) -> list[str]:
    return [row["key"]["kind"] for row in read_rows(run)]


def test_a_candidate_that_fails_is_a_row_with_its_reason(nets: Path) -> None:
    """Whether it cannot be built or does not accept the data; all candidates have a row."""
    names = [*NAMES, "nets.py:broken", "nets.py:unbuilt", "nets.py:small?width=4"]
    outcome = search(names, run="run", by="params", proxies="params", training=QUICK)
    table = outcome.table.loc["scored"]
    assert set(table.index) == set(names)
    assert table.loc[names[:2], "val_accuracy"].notna().all()
    assert "no such layer" in table.loc["nets.py:unbuilt", "why"]
    assert table.loc["nets.py:broken", "why"]
    assert table.loc[["nets.py:broken", "nets.py:unbuilt"], "val_accuracy"].isna().all()


def test_adding_a_name_continues_the_folder_and_computes_only_what_is_new(nets: Path) -> None:
    """The networks chosen are those of the new list, and nothing is computed twice."""
    (nets / "names.txt").write_text("\n".join(NAMES))
    search("@names.txt", run="run", by="params", proxies="params", training=QUICK)
    before = kinds("run")
    (nets / "names.txt").write_text("\n".join([*NAMES, "cnn:2,8,3,ReLU,BN,no,no  # the largest"]))
    outcome = search("@names.txt", run="run", by="params", proxies="params", training=QUICK)
    assert outcome.table.loc["scored"].index[0] == "cnn:2,8,3,ReLU,BN,no,no"
    assert len(outcome.table) == 3
    read = read_search("run").trained["arch"].tolist()
    assert read == outcome.table.loc["scored"].index.tolist()
    after = kinds("run")[len(before) :]
    assert after.count("train") == 1
    assert after.count("score") == 1
    lines = len(read_rows("run"))
    search("@names.txt", run="run", by="params", proxies="params", training=QUICK)
    assert len(read_rows("run")) == lines


def test_each_network_gets_its_own_size_in_scoring_and_training(nets: Path) -> None:
    """A network that only accepts another size is scored, trained and trained in full."""
    pytest.importorskip("torchvision")
    names = ["torchvision:squeezenet1_1?image_size=24", NAMES[0]]
    outcome = search(names, run="run", by="params", proxies="params", training=QUICK, trainings=1)
    assert outcome.table["val_accuracy"].notna().all()
    assert outcome.chosen.features[0].in_channels == 3  # type: ignore[union-attr,index]
    done = retrain("run", TrainSettings(epochs=2, lr=0.01))
    assert done.trained.epochs == 2
    assert not load_chosen("run").training


def test_the_chosen_network_of_ones_own_needs_the_list_again(nets: Path) -> None:
    """Nothing that a run folder names is executed."""
    search(["nets.py:small"], run="run", by="params", proxies="params", training=QUICK)
    with pytest.raises(ForetellError, match="list of models; pass it again \\(--space @FILE\\)"):
        load_chosen("run")
    assert load_chosen("run", ["nets.py:small"])[1].out_features == 2  # type: ignore[index]


def test_a_list_of_which_nothing_works_is_refused_and_leaves_nothing(nets: Path) -> None:
    with pytest.raises(ForetellError, match=r"none of the 2 candidates .* the first is: "):
        search(["nets.py:broken", "nets.py:unbuilt"], run="run", by="params", proxies="params")
    assert not (nets / "run").exists()


def test_the_command_reads_a_file_of_names(nets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (nets / "names.txt").write_text("\n".join(NAMES))
    command = ["search", "--space", "@names.txt", "--run", "run", "--epochs", "1", "--workers", "1"]
    command += ["--by", "params", "--proxies", "params", "--trainings", "1"]
    assert main(command) == 0
    assert "foretell retrain run --space @names.txt" in capsys.readouterr().out
    assert main(["report", "run"]) == 0
    assert main(["retrain", "run", "--space", "@names.txt", "--epochs", "1"]) == 0
    assert main([*command[:2], "@nowhere.txt", *command[3:]]) == 2
    assert "nowhere.txt cannot be read" in capsys.readouterr().err
