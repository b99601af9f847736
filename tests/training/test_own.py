"""Trainings of the user's own: what may be returned, how they fail, and that they are kept."""

import math
import pickle
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from foretell import Choices, ForetellError, TrainSettings, load_chosen, search
from foretell.cli import main
from foretell.runs.store import read_rows
from foretell.training.own import OwnTraining
from tests.support.commands import refused


def make(width: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))


SPACE = Choices(make, {"width": list(range(1, 9))})
SMALL: dict[str, Any] = {"pool": 6, "trainings": 3, "batch_size": 8, "proxies": "params"}


def width_of(arch: str) -> float:
    return float(arch.rpartition("=")[2])


def value(arch: str) -> float:
    return width_of(arch)


def yielded(arch: str, budget: int) -> Iterator[tuple[int, float]]:
    for epoch in range(1, budget + 1):
        yield epoch, width_of(arch) * epoch / budget


def reported(arch: str, report: Callable[[int, float], None], budget: int) -> None:
    for epoch, reached in yielded(arch, budget):
        report(epoch, reached)


def found(evaluate: Callable[..., object], run: Path, **more: Any) -> Any:
    return search(SPACE, run=run, by="params", evaluate=evaluate, **SMALL | more)


@pytest.mark.parametrize("evaluate", [value, yielded, reported])
def test_a_value_may_be_returned_yielded_or_reported(
    evaluate: Callable[..., object], tmp_path: Path
) -> None:
    """The last value counts, and the best network is chosen."""
    outcome = found(evaluate, tmp_path)
    assert outcome.table["value"].tolist() == [
        width_of(arch) for arch in outcome.table.index.get_level_values("arch")
    ]
    assert "test_accuracy" not in outcome.table
    assert not outcome.chosen.training


def test_of_losses_the_lowest_is_chosen(tmp_path: Path) -> None:
    outcome = found(value, tmp_path, lower_is_better=True)
    assert outcome.table["value"].min() == outcome.chosen[1].out_features > 0


def test_each_network_is_trained_once_and_a_search_is_resumed(tmp_path: Path) -> None:
    """What a function captures is part of it, so that the calls are counted in a file."""
    calls = tmp_path / "calls.txt"
    calls.touch()

    def counted(arch: str) -> float:
        with calls.open("a") as file:
            file.write(f"{arch}\n")
        if len(calls.read_text().splitlines()) == 2:
            raise KeyboardInterrupt
        return width_of(arch)

    with pytest.raises(KeyboardInterrupt):
        found(counted, tmp_path / "run")
    first = found(counted, tmp_path / "run")
    assert len(calls.read_text().splitlines()) == 4
    assert found(counted, tmp_path / "run").table.equals(first.table)
    assert len(calls.read_text().splitlines()) == 4


def test_a_network_that_is_trained_in_place_is_kept(tmp_path: Path) -> None:
    def filled(network: nn.Module, seed: int) -> float:
        with torch.no_grad():
            network[1].weight.fill_(seed + 7.0)  # type: ignore[index,operator,union-attr]
        return 1.0

    found(filled, tmp_path)
    assert (load_chosen(tmp_path, SPACE)[1].weight == 7).all()  # type: ignore[index,union-attr]


def raises(arch: str) -> float:
    raise ValueError(f"no data for {arch}")


def slow(arch: str) -> Iterator[tuple[int, float]]:
    yield 1, 1.0
    time.sleep(0.2)
    yield 2, 2.0


@pytest.mark.parametrize(
    ("evaluate", "why"),
    [
        (raises, "evaluate raised ValueError: no data for width="),
        (lambda arch: math.nan, "evaluate returned nan"),
        (lambda arch: "good", "evaluate returned 'good'"),
        (lambda arch: None, "evaluate returned None"),
        (lambda arch: iter([3.0]), "expected pairs"),
        (lambda arch: iter([]), "evaluate returned no value"),
        (slow, "took more than 0.1 s"),
    ],
)
def test_a_training_that_fails_is_a_row_with_the_reason(
    evaluate: Callable[..., object], why: str, tmp_path: Path
) -> None:
    """The other networks are trained as if nothing had happened."""

    def sometimes(arch: str) -> object:
        return evaluate(arch) if width_of(arch) != 7 else 7.0

    whole = {"pool": 8, "trainings": 8}
    outcome = found(sometimes, tmp_path, evaluate_timeout=0.1, **whole)
    failed = outcome.table[outcome.table["value"].isna()]
    assert len(failed) == 7
    assert failed["why"].str.contains(why, regex=False).all()
    assert outcome.table["value"].max() == 7
    rows = [row for row in read_rows(tmp_path) if row["key"]["kind"] == "train"]
    assert sum(row["why"] is not None for row in rows) == 7


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"evaluate": 3}, "expected a function"),
        ({"evaluate": lambda model: 1.0}, "wants 'model'"),
        ({"evaluate": lambda arch, /: 1.0}, "wants 'arch'"),
        ({"evaluate": lambda seed, budget: 1.0}, "neither of the parameters network and arch"),
        ({"evaluate": lambda: 1.0}, "neither of the parameters network and arch"),
        ({"evaluate": dict}, "whose parameters are unknown"),
        ({"evaluate_command": "echo {arch} {nope}"}, "has {nope}, which would not be replaced"),
        ({"evaluate_command": "echo {arch} ${HOME} {nope}"}, "has {nope}, which"),
        ({"evaluate": "nowhere.py:fit"}, "there is no file"),
        ({"evaluate_command": "python train.py"}, "must contain {arch}"),
        ({"evaluate_command": "no-such-program {arch}"}, "no program"),
        ({"evaluate": value, "evaluate_command": "echo {arch}"}, "give one of them"),
        ({"lower_is_better": True}, "no effect without evaluate"),
        ({"evaluate": value, "first_stage": "halving"}, "leave it out"),
        ({"evaluate": value, "evaluate_timeout": 0}, "timeout"),
        ({"evaluate": value, "training": TrainSettings(lr=0.3)}, "training has lr=0.3, which has"),
        ({"evaluate": value, "training": TrainSettings(stop_after=1)}, "stop_after=1, which has"),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_is_written(
    given: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(ForetellError, match=words.replace("{", r"\{")):
        search(SPACE, run=tmp_path / "run", by="params", **SMALL | given)
    assert not (tmp_path / "run").exists()


SCRIPT = """
import json, sys
arch, out = sys.argv[1], sys.argv[2]
width = float(arch.rpartition("=")[2])
if width == 3:
    sys.exit("out of luck")
lines = [json.dumps({"epoch": n, "value": width * n}) for n in (1, 2)]
open(out, "w").write("\\n".join(lines)) if out != "-" else print(width * 2)
"""


@pytest.mark.parametrize("out", ["{out}", "-"])
def test_a_command_trains(out: str, tmp_path: Path) -> None:
    """It covers every other way to train; what it wrote last counts."""
    (tmp_path / "fit.py").write_text(SCRIPT)
    command = f"{sys.executable} {tmp_path / 'fit.py'} {{arch}} {out}"
    whole = SMALL | {"pool": 8, "trainings": 8}
    table = search(
        SPACE, run=tmp_path / "run", by="params", evaluate_command=command, **whole
    ).table
    known = table.dropna(subset="value")
    archs = known.index.get_level_values("arch")
    assert known["value"].tolist() == [2 * width_of(arch) for arch in archs]
    (why,) = table[table["value"].isna()]["why"]
    assert why == "the command ended with exit code 1: out of luck"


def test_the_command_line_takes_a_function_in_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit = tmp_path / "fit.py"
    fit.write_text("def fit(arch, budget):\n    return arch.count('3x3') + budget / 100\n")
    run = str(tmp_path / "run")
    command = ["search", "--space", "nb201?channels=2,cells=1", "--pool", "4", "--trainings", "2"]
    own = ["--evaluate", f"{fit}:fit", "--epochs", "9", "--run", run, "--batch-size", "8"]
    assert main([*command, *own, "--workers", "2", "--proxies", "synflow"]) == 0
    assert ".09." in capsys.readouterr().out
    assert main(["report", run]) == 0
    refused(capsys, *command, "--lower-is-better", "--run", str(tmp_path / "other"))


def test_another_code_is_another_training() -> None:
    """A value of one version of a function is not taken for that of another."""
    keys = [
        OwnTraining(evaluate=evaluate, epochs=epochs, lower_is_better=lower).key()
        for evaluate in (value, lambda arch: 1.0, lambda arch: 2.0)
        for epochs in (1, 2)
        for lower in (False, True)
    ]
    assert len({str(key) for key in keys}) == len(keys)


def test_a_file_runs_once_however_many_rows_there_are_and_again_in_another_process(
    tmp_path: Path,
) -> None:
    file, log = tmp_path / "mine.py", tmp_path / "log"
    file.write_text(
        f"with open({str(log)!r}, 'a') as log:\n"
        "    log.write('run ')\n"
        "def evaluate(arch, seed):\n"
        "    return seed\n"
    )
    training = OwnTraining(evaluate=f"{file}:evaluate")
    keys = [training.key() for _ in range(3)]
    values = [training.run(nn.Linear(1, 1), "a", seed).val_accuracy for seed in (1, 2)]
    assert log.read_text() == "run "
    sent = pickle.loads(pickle.dumps(training))
    assert (sent, sent.run(nn.Linear(1, 1), "a", 3).val_accuracy) == (training, 3)
    assert sent.key() == keys[0] == keys[1] == keys[2]
    assert values == [1, 2]
    assert log.read_text() == "run run "
