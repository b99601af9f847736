"""The command line: its output, and the single line for requests that cannot be carried out."""

import json
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import pytest

from foretell.cli import main
from foretell.cli.commands.rank import in_rounds
from foretell.scoring.best import Rounds
from tests.support.processes import python

NETS = """
from torch import nn
import torch

def small(width=4):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))

def wide():
    return nn.Linear(64, 10)

def few():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 3))

def no_module():
    return 3

def broken():
    raise RuntimeError("a factory\\nfails")
"""


@pytest.fixture
def nets(tmp_path: Path) -> str:
    """A file with networks of the user."""
    path = tmp_path / "nets.py"
    path.write_text(NETS)
    return str(path)


def run(*arguments: str) -> int:
    """The exit code."""
    return main([*arguments])


def test_score(nets: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line per proxy, or JSON on request."""
    assert run("score", f"{nets}:small?width=8", "--proxies", "snip,params", "--json") == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["proxy"] for row in rows] == ["snip", "params"]
    assert rows[1]["value"] == 65 * 8 + 9 * 10


def test_rank(nets: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The best network comes first; pandas can read the CSV."""
    models = [f"{nets}:small?width={width}" for width in (4, 16)]
    assert run("rank", *models, "--proxies", "params", "--csv") == 0
    (tmp_path / "out.csv").write_text(capsys.readouterr().out)
    table = pd.read_csv(tmp_path / "out.csv")
    assert table["rank"].tolist() == [1, 2]
    assert table["model"].tolist() == models[::-1]


def test_rank_says_how_many_were_scored_in_full(
    nets: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [
        "rank",
        f"{nets}:small",
        f"{nets}:small?width=8",
        "--proxies",
        "params",
        "--best",
        "1",
    ]
    assert run(*command, "--json") == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["rounds"]["in_full"] == len(json.loads(shown.out)["rows"]) == 2
    assert "All 2 networks were scored in full" in shown.err
    assert run(*command) == 0
    assert "All 2 networks were scored in full" in capsys.readouterr().out


def test_the_rounds_are_told_in_words() -> None:
    said = in_rounds(
        asdict(Rounds(20, 1000, 180, 0.9, 0.96, first_seconds=30, full_seconds=50, all_seconds=300))
    )
    assert "1,000 networks were scored on a few samples in 30 s, and 180 of them in full" in said
    assert "Of the best 20, 1.0 are expected to be among the 820 that were left out" in said


@pytest.mark.parametrize("form", [[], ["--json"], ["--csv"]])
def test_list_and_explain_in_every_form(
    form: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """All registries appear."""
    assert run("list", *form) == 0
    listed = capsys.readouterr().out
    for name in ("jacob_cov", "vote", "nb201", "digits", "random", "warmup", "cross_entropy"):
        assert name in listed
    assert run("explain", "--proxies", "grasp", *form) == 0
    assert "curvature" in capsys.readouterr().out


def test_no_colour_where_there_is_no_terminal(nets: str) -> None:
    """Nor progress."""
    output = python("-m", "foretell", "score", f"{nets}:small", "--proxies", "params")
    assert output.returncode == 0
    assert "\x1b" not in output.stdout + output.stderr
    assert output.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("score {nets}:small --proxies snib", "did you mean 'snip'"),
        ("score {nets}:small --proxies vote", "use `rank` with by='vote'"),
        ("score {nets}:small --proxies ,", "proxies is ','; give names"),
        ("score {nets}:no_module", "; return a torch.nn.Module"),
        ("score {nets}:broken", "RuntimeError: a factory fails"),
        ("score {nets}:nothing", "no function 'nothing'"),
        ("score nowhere.py:small", "no file nowhere.py"),
        ("score {nets}:small?width", "is not a setting"),
        ("score no.such.package:net", "cannot import"),
        ("score small", "does not name a model"),
        ("score {nets}:wide", "does not accept the batch"),
        ("score {nets}:few", "label 9 is out of range"),
        ("score {nets}:small --data digitz", "did you mean 'digits'"),
        ("score {nets}:small --batch-size 0", "--batch-size is 0; give a whole number"),
        ("score {nets}:small --loss mae", "no loss is called 'mae'"),
        ("score {nets}:small --loss mse", "the loss mse compares outputs with numbers"),
        ("score {nets}:small --layers some", "--layers is 'some'; give all or conv2d_linear"),
        ("score {nets}:small --micro-batch 0", "at least 1"),
        ("score {nets}:small --device gpu9", "no device 'gpu9'"),
        ("score nb201:333333?channels=0", "channels is 0"),
        ("score nb201:333 --batch-norm none", "--batch-norm is 'none'; give batch or frozen"),
        ("score nb201:333013?channels=2,cells=1 --batch-size 4 --micro-batch 2", "micro_batch"),
        ("score nb201:abc", "not a NAS-Bench-201 cell"),
        ("rank {nets}:wide", "no model could be scored"),
        ("rank {nets}:small --proxies snip --by vote", "cannot rank by 'vote'"),
        ("explain --proxies snib", "did you mean 'snip'"),
        ("search --run {nets} --pool 2 --trainings 1", "cannot write"),
    ],
)
def test_bad_input_is_one_line_and_two(
    arguments: str, message: str, nets: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is no traceback, and nothing on standard output."""
    assert run(*arguments.format(nets=nets).split()) == 2
    out, errors = capsys.readouterr()
    assert out == ""
    assert errors.startswith("foretell: ")
    assert errors.count("\n") == 1
    assert message in errors


def test_a_run_folder_of_something_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is written into a folder with other files."""
    (tmp_path / "thesis.tex").write_text("years of work")
    assert run("search", "--run", str(tmp_path)) == 2
    assert "thesis.tex" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
