"""Processes that die: the other tasks continue, and the task that killed its process is found."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from foretell import ForetellError, search
from foretell.executors.processes import Lost, completed, pool
from foretell.runs.store import read_rows
from foretell.studies.read import read_study
from foretell.studies.run import run_study
from foretell.tables import Table
from foretell.training.settings import TrainSettings

KILL = "__import__('os').kill(__import__('os').getpid(), __import__('signal').SIGKILL)"


def task(number: int, once: Path | None = None) -> Callable[[], int]:
    """A task that returns its number, or kills its process: always, or only the first time.

    It consists of builtins only, since a spawned process cannot import what a test defines.
    """
    if number % 5 != 3:
        return partial(int, number)
    if once is None:
        return partial(eval, KILL)
    path = f"__import__('pathlib').Path({str(once)!r})"
    return partial(eval, f"{number} if {path}.exists() else ({path}.touch(), {KILL})")


def computed(tasks: dict[int, Callable[[], Any]], workers: int) -> dict[int, Any]:
    with pool(workers) as executor:
        return dict(completed(executor, tasks, workers))


def test_who_kills_a_process_is_lost_and_no_other() -> None:
    """Two of twelve tasks kill their process each time; the other ten have results."""
    results = computed({number: task(number) for number in range(12)}, 3)
    assert sorted(results) == list(range(12))
    assert {n for n, result in results.items() if isinstance(result, Lost)} == {3, 8}
    assert all(results[n] == n for n in results if n not in (3, 8))


def test_a_process_that_dies_once_loses_nothing(tmp_path: Path) -> None:
    """A retry succeeds, for example after a short lack of memory."""
    results = computed({number: task(number, tmp_path / "died") for number in range(6)}, 2)
    assert results == {number: number for number in range(6)}
    assert (tmp_path / "died").exists()


def test_any_executor_will_do(tmp_path: Path) -> None:
    """The executor is left open, and the rows are the same as with one process."""
    common: dict[str, Any] = {
        "space": "nb201?channels=4,cells=1",
        "pool": 4,
        "trainings": 2,
        "batch_size": 16,
        "training": TrainSettings(epochs=1, batch_size=128, lr=0.05),
    }
    alone = search(run=tmp_path / "alone", **common)
    with ThreadPoolExecutor(1) as threads:
        other = search(run=tmp_path / "other", executor=threads, workers=1, **common)
        assert threads.submit(int, "3").result() == 3
    same = ["synflow", "snip", "val_accuracy"]
    assert other.table[same].equals(alone.table[same])


def test_a_broken_executor_raises_an_error() -> None:
    """An executor that is not ours cannot be restarted."""
    with ProcessPoolExecutor(1) as foreign, pytest.raises(ForetellError, match="is broken"):
        list(completed(foreign, {3: task(3), 4: task(4)}, 1))


def test_a_network_of_a_zoo_that_fails_has_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other networks of the zoo keep their scores."""
    (tmp_path / "nets.py").write_text(
        "import torch\n"
        "def good(width=4):\n"
        "    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))\n"
        "def bad():\n"
        "    return torch.nn.Linear(3, 10)\n"
    )
    monkeypatch.chdir(tmp_path)
    names = ["nets.py:good", "nets.py:good?width=5", "nets.py:good?width=6", "nets.py:bad"]
    index = pd.Index(names, name="arch")
    frame = pd.DataFrame({"top1": [1.0, 2.0, 3.0, 4.0]}, index=index)
    table = Table("zoo", "models", frame, reporting=("top1",))
    run_study(table, "digits", run=tmp_path / "run", proxies=["snip", "params"], sample=None)
    rows = [row for row in read_rows(tmp_path / "run") if row["key"].get("arch") == "nets.py:bad"]
    assert len(rows) == 2
    assert all(row["value"] is None and "shapes cannot be" in row["why"] for row in rows)
    assert read_study(tmp_path / "run").runs[0]["snip"].notna().sum() == 3
