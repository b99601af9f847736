"""`foretell retrain`, and a search with its options in a TOML file."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from foretell import ForetellError, search
from foretell.cli import main
from foretell.progress import Progress
from foretell.runs.config import read_config
from foretell.searching.retrain import retrain
from foretell.spaces import make_space
from foretell.training.settings import TrainSettings

CODE = """
from torch import nn
from foretell.spaces import Choices

def build(width):
    return nn.Sequential(nn.Linear(30, width), nn.ReLU(), nn.Linear(width, 2))

mlp = Choices(build, {"width": [2, 4, 8, 16]})
"""
LONGER = TrainSettings(epochs=3, batch_size=32, lr=0.02)
TOML = """
space = "nb201?channels=4,cells=1"
pool = 4
trainings = 2
epochs = 1
lr = 1
batch-size = 16
workers = 1
proxies = "synflow"
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished search."""
    folder = tmp_path_factory.mktemp("retrain") / "run"
    quick: dict[str, Any] = {"pool": 4, "trainings": 2, "batch_size": 16, "proxies": ["synflow"]}
    once = TrainSettings(epochs=1, batch_size=256, lr=0.05)
    search("nb201?channels=4,cells=1", run=folder, training=once, **quick)
    return folder


def test_the_chosen_network_is_trained_from_untrained_weights(run: Path) -> None:
    events: list[Progress] = []
    done = retrain(run, LONGER, progress=events.append)
    assert [event.done for event in events] == [1, 2, 3]
    about, chosen = (json.loads((run / f"{n}.json").read_text()) for n in ("retrained", "chosen"))
    assert about["arch"] == chosen["arch"]
    assert about["training"] == LONGER.key()
    assert about["val_accuracy"] == done.trained.val_accuracy > 15
    space = make_space(about["space"], about["settings"])
    model = space.build(space.parse(about["arch"]), 5)
    model.load_state_dict(torch.load(done.weights, weights_only=True))
    images = torch.zeros(2, 1, 8, 8)
    assert model.eval()(images).equal(done.model.eval()(images))


def test_an_interrupted_retraining_continues_to_the_same_result(run: Path) -> None:
    class Stopped(Exception):
        """Interrupts the training, as Ctrl-C would."""

    def stop(event: Progress) -> None:
        if event.done == 2:
            raise Stopped

    whole = retrain(run, LONGER, seed=7)
    before = torch.load(whole.weights, weights_only=True)
    with pytest.raises(Stopped):
        retrain(run, LONGER, seed=7, progress=stop)
    events: list[Progress] = []
    again = retrain(run, LONGER, seed=7, progress=events.append)
    assert [event.done for event in events][-1] == 3
    assert len(events) < 3
    after = torch.load(again.weights, weights_only=True)
    assert all(after[name].equal(before[name]) for name in before)
    assert not list(run.glob("*.unfinished.pt"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["RUN", "--data", "breast_cancer"], "is not the data of this run, digits"),
        (["nowhere"], "nowhere"),
        (["RUN", "--epochs", "0"], "epochs"),
        (["RUN", "--optimizer", "sdg"], "--optimizer is 'sdg'; give sgd or adamw"),
        (["RUN", "--device", "tpu"], "there is no device 'tpu' here"),
    ],
)
def test_invalid_options_are_refused_in_one_line(
    words: list[str], said: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(run) if word == "RUN" else word for word in words]
    assert main(["retrain", *given]) == 2
    error = capsys.readouterr().err.strip()
    assert said in error
    assert "Traceback" not in error


def test_a_space_of_ones_own_must_be_given_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "nets.py"
    file.write_text(CODE)
    words = ["--pool", "3", "--trainings", "1", "--epochs", "1", "--workers", "1"]
    run = str(tmp_path / "run")
    own = ["--space", f"{file}:mlp", "--data", "breast_cancer", "--proxies", "synflow"]
    assert main(["search", *own, "--run", run, *words]) == 0
    assert main(["retrain", run, "--epochs", "2"]) == 2
    assert (
        "the space of this run is your own, nets.py:mlp; pass it again" in capsys.readouterr().err
    )
    assert main(["retrain", run, "--epochs", "2", "--space", f"{file}:mlp", "--json"]) == 0
    assert [row["epochs"] for row in json.loads(capsys.readouterr().out)["rows"]] == [2]


def test_options_come_from_a_file_and_the_command_line_wins(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, run = tmp_path / "search.toml", tmp_path / "run"
    file.write_text(TOML)
    words = ["search", "--config", str(file), "--run", str(run), "--trainings", "1", "--json"]
    assert main(words) == 0
    assert len(json.loads(capsys.readouterr().out)["rows"]) == 1
    config = read_config(run)
    assert (config["pool"], config["trainings"], config["batch"]["size"]) == (4, 1, 16)
    assert config["training"]["lr"] == 1
    assert config["space"]["settings"]["channels"] == 4


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pol = 3", "has the unknown option 'pol'; did you mean 'pool'?"),
        ("pool = 'many'", "pool is 'many'; give a whole number"),
        ("pool = true", "pool is True; give a whole number"),
        ("optimizer = 'sdg'", "optimizer is 'sdg'; give sgd or"),
        ("pool 3", "is not TOML"),
        ("config = 'other.toml'", "has the unknown option 'config'"),
        ("[search]\npool = 3", "has the unknown option 'search'"),
        (None, "cannot read"),
    ],
)
def test_an_invalid_file_is_refused_in_one_line(
    text: str | None, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "search.toml"
    if text is not None:
        file.write_text(text)
    assert main(["search", "--config", str(file), "--run", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err.strip()
    assert said in error
    assert error.count("\n") == 0
    assert not (tmp_path / "run").exists()


def test_an_unfinished_search_has_no_network_to_retrain(tmp_path: Path) -> None:
    with pytest.raises(ForetellError):
        retrain(tmp_path, LONGER)
