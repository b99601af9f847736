"""A tiny search: what it writes, that it continues, and that workers do not change its rows."""

import contextlib
import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.progress import Progress

from foretell import ForetellError, load_chosen, load_data, search
from foretell.cli import main
from foretell.runs.rowfile import ROWS
from foretell.runs.store import read_rows
from foretell.searching.outcome import Outcome
from foretell.searching.read import read_search
from foretell.training.settings import TrainSettings
from tests.support.processes import PATIENCE, environment, finished, python, started
from tests.support.rows import lines_of

TINY: dict[str, Any] = {
    "space": "nb201?channels=4,cells=1",
    "pool": 4,
    "trainings": 2,
    "compare": True,
    "batch_size": 16,
    "training": TrainSettings(epochs=1, batch_size=128, lr=0.05),
}
COMMAND = [
    *(sys.executable, "-m", "foretell", "search", "--space", "nb201?channels=4,cells=1"),
    *(
        "--pool",
        "6",
        "--trainings",
        "2",
        "--epochs",
        "2",
        "--batch-size",
        "16",
        "--workers",
        "1",
        "--compare",
    ),
]


def comparable(folder: Path) -> list[dict[str, Any]]:
    """All rows without their timings, sorted by key."""
    rows = [
        {k: v for k, v in row.items() if k not in ("seconds", "crc")} for row in read_rows(folder)
    ]
    return sorted(rows, key=lambda row: json.dumps(row["key"], sort_keys=True))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """A finished search."""
    return search(run=tmp_path_factory.mktemp("runs") / "one", **TINY)


def test_both_arms_train_the_same_number_of_networks(done: Outcome) -> None:
    """Only the best network of each arm has a test accuracy."""
    for arm in ("scored", "unscored"):
        rows = done.table.loc[arm]
        assert len(rows) == 2
        chosen = rows[rows["test_accuracy"].notna()]
        assert chosen["val_accuracy"].tolist() == [rows["val_accuracy"].max()]


def test_the_scored_arm_trains_the_best_of_the_pool(done: Outcome) -> None:
    """The best are those with the highest scores of the proxy `by`."""
    rows = [r for r in read_rows(done.folder) if r["key"].get("proxy") == "synflow"]
    best = sorted(rows, key=lambda row: -row["value"])[:2]
    assert done.table.loc["scored"].index.tolist() == [row["key"]["arch"] for row in best]


def test_the_chosen_network_is_loaded_with_its_trained_weights(done: Outcome) -> None:
    """Its test accuracy can be measured again from the run folder alone."""
    images, labels = load_data("digits").test
    with torch.no_grad():
        accuracy = (
            100 * (load_chosen(done.folder)(images).argmax(1) == labels).float().mean().item()
        )
    best = done.table.sort_values(["val_accuracy", "params"], ascending=[False, True]).iloc[0]
    assert accuracy == pytest.approx(best["test_accuracy"], abs=0.3)


def test_a_search_is_compared_only_if_asked_to_and_also_later(
    done: Outcome, tmp_path: Path
) -> None:
    """Without the comparison half as many networks are trained, and the choice is the same."""
    alone = search(run=tmp_path / "run", **TINY | {"compare": False})
    assert set(alone.table.index.get_level_values("arm")) == {"scored"}
    kinds = [row["key"]["kind"] for row in read_rows(tmp_path / "run")]
    assert kinds.count("trained") == kinds.count("train") == 2
    later = search(run=tmp_path / "run", **TINY)
    columns = ["synflow", "val_accuracy", "test_accuracy"]
    assert later.table[columns].equals(done.table[columns])
    assert alone.table[columns].equals(done.table.loc[["scored"], columns])


def test_the_largest_of_the_pool_are_trained_for_comparison(done: Outcome, tmp_path: Path) -> None:
    """They are those that a search by #params trains, and the other results stay the same."""
    events: list[Progress] = []
    both = search(run=tmp_path / "both", compare_size=True, progress=events.append, **TINY)
    scored = [(event.done, event.total) for event in events if event.what == "score"]
    assert scored[-1] == (TINY["pool"], TINY["pool"])  # each network once, though two arms ask
    by_size = search(run=tmp_path / "size", by="params", **TINY | {"compare": False})
    columns = ["synflow", "params", "val_accuracy", "test_accuracy"]
    assert both.table.loc["largest", columns].equals(by_size.table.loc["scored", columns])
    assert both.table.loc[["scored", "unscored"], columns].equals(done.table[columns])
    assert "largest" in set(read_search(tmp_path / "both").trained["arm"])


def test_a_second_call_reads_the_results(done: Outcome) -> None:
    """It returns the same table and adds no rows."""
    before = (done.folder / ROWS).read_bytes()
    again = search(run=done.folder, **TINY)
    assert again.table.equals(done.table)
    assert (done.folder / ROWS).read_bytes() == before


def test_the_number_of_workers_does_not_change_the_rows(done: Outcome, tmp_path: Path) -> None:
    """They are the same bit for bit, in whichever order the workers finish."""
    search(run=tmp_path / "two", workers=2, **TINY)
    assert comparable(tmp_path / "two") == comparable(done.folder)


def test_another_configuration_is_refused(done: Outcome) -> None:
    """The message says which setting differs."""
    with pytest.raises(ForetellError, match="seed was 0, now 1"):
        search(run=done.folder, seed=1, **TINY)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pool": 1}, "a pool of 1 is too small"),
        ({"trainings": 0}, "trainings is 0; expected an integer of at least 1"),
        ({"by": "val"}, "cannot choose by 'val'"),
        ({"by": "params", "compare_size": True}, "compare_size compares with choosing by params"),
        ({"space": "nb202"}, "did you mean 'nb201'"),
        ({"space": "nb201?chanels=4"}, "did you mean 'channels'"),
        ({"data": "digit"}, "digits"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"workers": 0}, "workers is 0"),
    ],
)
def test_bad_settings_leave_nothing_behind(
    settings: dict[str, Any], message: str, tmp_path: Path
) -> None:
    """The message says what was given and what to do."""
    with pytest.raises(ForetellError, match=message):
        search(run=tmp_path / "run", **(TINY | settings))
    assert not (tmp_path / "run").exists()


def finish(folder: Path) -> None:
    """Run the command to its end."""
    done = finished(*COMMAND, "--run", str(folder))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "searcher",
    ["aging_evolution?population=2,tournament=1,moves=1", "reinforce?hidden=4", "local?initial=2"],
)
def test_a_search_with_each_searcher_can_be_repeated(tmp_path: Path, searcher: str) -> None:
    outcome = search(run=tmp_path / "run", searcher=searcher, **TINY)
    assert set(outcome.table.index.get_level_values("arm")) == {"scored", "unscored"}
    assert (outcome.table.groupby("arm").size() == TINY["trainings"]).all()
    ticks: list[bool] = []
    again = search(
        run=tmp_path / "run",
        searcher=searcher,
        progress=lambda tick: ticks.append(tick.cached),
        **TINY,
    )
    assert all(ticks)
    assert again.table.equals(outcome.table)


def test_a_search_that_is_killed_at_any_time_continues(tmp_path: Path) -> None:
    """No finished row is lost, and the rows are those of an undisturbed search."""
    finish(tmp_path / "calm")
    dice = random.Random(0)
    kept: list[bytes] = []
    for _ in range(4):
        run = tmp_path / "killed"
        with started(*COMMAND, "--run", str(run)) as process:
            while process.poll() is None and len(lines_of(run)) <= len(kept):
                time.sleep(0.05)
            time.sleep(dice.random())
        assert lines_of(run)[: len(kept)] == kept
        kept = lines_of(run)
    finish(tmp_path / "killed")
    assert comparable(tmp_path / "killed") == comparable(tmp_path / "calm")


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_ends_a_search_cleanly(tmp_path: Path) -> None:
    """The command prints one line and no traceback, and exits with code 130."""
    words = [
        "--run",
        str(tmp_path / "run"),
        "--pool",
        "5000",
    ]  # too many to finish before the interrupt
    with started(*COMMAND, *words) as process:
        while process.poll() is None and not (tmp_path / "run" / ROWS).exists():
            time.sleep(0.05)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, errors
    assert errors.strip() == "foretell: stopped; run the same command again to resume"


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_that_is_swallowed_ends_a_search_at_the_next_network(tmp_path: Path) -> None:
    """PyTorch's C code may drop the exception that a signal raises in a Python callback."""
    ticks: list[int] = []

    def swallow() -> None:
        with contextlib.suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)

    def update(*_: object, **__: object) -> None:
        ticks.append(1)
        swallow()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Progress, "update", update)
        words = [*COMMAND[3:], "--run", str(tmp_path / "run")]
        assert main(words) == 130
    assert len(ticks) == 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_while_a_module_is_imported(tmp_path: Path) -> None:
    """The exit code is the same if the interrupt occurs in `exec`, as in creating a dataclass."""
    (tmp_path / "probe.py").write_text(
        "import sys\n"
        "from foretell.cli import main\n"
        "from foretell.searching import search\n"
        "class Interrupting:\n"
        "    def __str__(self):\n"
        "        exec('raise KeyboardInterrupt')\n"
        "search.search = lambda *a, **k: str(Interrupting())\n"
        "if __name__ == '__main__':\n"
        "    sys.exit(main(['search', '--run', 'run']))\n"
    )
    process = python("-m", "probe", cwd=tmp_path, env=environment(tmp_path))
    assert process.returncode == 130, process.stderr
    assert process.stderr.strip() == "foretell: stopped; run the same command again to resume"
