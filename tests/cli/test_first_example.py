"""`foretell search` without a space and data: what it prints, and the commands at its end."""

import math
import shlex
import sys
from pathlib import Path

import click
import pandas as pd
import pytest

from foretell import explain
from foretell.cli import main
from foretell.cli.hints import as_typed, program
from foretell.cli.verdict import next_commands, verdict
from foretell.searching.lesson import Lesson
from foretell.searching.measure import Measure
from foretell.searching.outcome import Outcome

SHORT = "--pool 6 --trainings 3 --epochs 1 --workers 1 --max-params 120"
PARTS = (
    "Found depth=",
    "Failed to learn",
    "Rank correlation of jacob_cov",
    "By size alone",
    "Scoring took",
    "Next:",
)


def outcome(table: pd.DataFrame, chance: float | None = 10.0) -> Outcome:
    """An outcome with this table, indexed by arm and arch."""
    return Outcome(
        table=table.set_index(["arm", "arch"]),
        chosen=None,  # type: ignore[arg-type]
        front=table.iloc[:1],
        scoring_seconds=1.5,
        short={},
        folder=Path("runs/mine"),
        by="snip",
        chance=chance,
        measure=Measure(own=chance is None, lower_is_better=False),
        notice="",
    )


TABLE = pd.DataFrame(
    {
        "arm": ["scored"] * 3 + ["unscored"] * 3,
        "arch": ["a", "b", "c", "b", "d", "e"],
        "snip": [9.0, 8.0, 7.0, 8.0, 1.0, 2.0],
        "val_accuracy": [90.0, 80.0, 49.0, 80.0, 20.0, math.nan],
        "test_accuracy": [88.0, None, None, 79.0, None, None],
        "seconds": 1.0,
    }
)


def test_it_says_what_was_found_and_the_commands_it_ends_with_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    folder = tmp_path / "my runs"
    assert main(["search", *SHORT.split(), "--run", str(folder)]) == 0
    out = capsys.readouterr().out
    places = [out.index(part) for part in PARTS]
    assert places == sorted(places)
    assert "3 chosen without scores" in out
    commands = out[places[-1] :].splitlines()[1:]
    assert len(commands) == 3
    for command in commands:
        first, *words = shlex.split(command)
        assert first == "foretell"
        assert main(words) == 0, (command, capsys.readouterr().err)
    assert (folder / "report" / "index.html").exists()
    assert (folder / "retrained.pt").exists()


def test_a_space_of_ones_own_and_settings_of_data_are_in_the_hint_and_a_comparison_is_offered() -> (
    None
):
    alone = outcome(TABLE.head(3))
    with click.Context(click.Command("search")) as context:
        context.meta["foretell.words"] = ["search", "--space", "my nets.py:mlp"]
        data = "csv:wine.csv?target=class"
        report, retrain, compare = next_commands(alone, "my nets.py:mlp", data)
    assert report == "foretell report runs/mine"
    given = "--space 'my nets.py:mlp' --data 'csv:wine.csv?target=class'"
    assert retrain == f"foretell retrain runs/mine {given}"
    assert compare == "foretell search --space 'my nets.py:mlp' --compare"


def test_each_network_counts_once_in_the_rank_correlation() -> None:
    lesson = Lesson(outcome(TABLE))
    assert list(lesson.trained.index) == ["a", "b", "c", "d"]
    assert lesson.agreement == 1.0
    assert Lesson(outcome(TABLE.assign(snip=-TABLE["snip"]))).agreement == -1.0


def test_to_fail_is_to_stay_below_half_way_from_guessing_to_the_best() -> None:
    """An undefined accuracy has failed, too; the least accuracy that counts is (10 + 90) / 2."""
    lesson = Lesson(outcome(TABLE))
    assert lesson.least == 50.0
    assert lesson.failed == {"scored": 1, "unscored": 2}
    for guessing in (5.0, 10.0):
        all_fail = Lesson(outcome(TABLE.assign(val_accuracy=guessing)))
        assert all_fail.failed == {"scored": 3, "unscored": 3}


def test_values_of_ones_own_are_not_called_accuracies() -> None:
    own = TABLE.rename(columns={"val_accuracy": "value"}).drop(columns="test_accuracy")
    said = verdict(outcome(own, chance=None), 80)
    assert "Found a: 90." in said
    assert "%" not in said


def test_foretell_is_typed_as_it_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its name if that is what the shell would start, and otherwise by its path."""
    started = tmp_path / "bin" / "foretell"
    started.parent.mkdir()
    started.write_text("#!/bin/sh\n")
    started.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(started.parent))
    assert program(str(started)) == ["foretell"]
    monkeypatch.setenv("PATH", "")
    assert program(str(started)) == ["bin/foretell"]
    monkeypatch.setattr(sys, "argv", ["/somewhere/foretell/__main__.py"])
    assert as_typed("list", "data") == shlex.join(
        [sys.executable, "-m", "foretell", "list", "data"]
    )


def test_an_outcome_and_an_explanation_are_shown_as_tables() -> None:
    """Without the whole network, and as HTML in notebooks."""
    shown = repr(outcome(TABLE))
    assert shown.startswith("Outcome of runs/mine")
    assert "unscored" in shown
    assert "<table" in outcome(TABLE)._repr_html_()
    assert "<table" in explain(["snip"])._repr_html_()
