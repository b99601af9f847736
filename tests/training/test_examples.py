"""The examples of docs/training-your-own.md run as they are shown."""

import importlib.util
import re
import shlex
import sys
from pathlib import Path

import pytest

from foretell.runs.rows import TrainRow, rows_of
from foretell.runs.store import read_rows
from tests.support.paths import DOCS
from tests.support.processes import environment, finished

PAGE = (DOCS / "training-your-own.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
COMMANDS = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
NEEDED = {"with_transformers.py": ["accelerate"]}
"""What an example needs beside what it imports."""


def lacking(name: str) -> list[str]:
    """The libraries that an example needs and that are not installed."""
    imported = re.findall(r"^(?:from|import) (\w+)", FILES[name], re.MULTILINE)
    needed = {*imported, *NEEDED.get(name, [])} - {Path(file).stem for file in FILES}
    return [one for one in sorted(needed) if importlib.util.find_spec(one) is None]


def searched(folder: Path, command: str, *more: str) -> list[TrainRow]:
    """The trainings of a search by one of the commands of the page, with fewer epochs."""
    for name, code in FILES.items():
        (folder / name).write_text(code)
    words = shlex.split(command.replace("\\\n", " ").replace("'python ", f"'{sys.executable} "))
    small = ["--epochs", "3", "--trainings", "2", "--proxies", "synflow", "--workers", "1"]
    line = [sys.executable, "-m", *words, "--batch-size", "16", *small, "--run", "run", *more]
    done = finished(*line, cwd=folder, env=environment(folder))
    assert done.returncode == 0, done.stderr
    return rows_of(TrainRow, read_rows(folder / "run"))


@pytest.mark.parametrize("name", ["plain.py", "with_lightning.py", "with_transformers.py"])
def test_a_function_of_the_page_trains(name: str, tmp_path: Path) -> None:
    if missing := lacking(name):
        pytest.skip(f"{', '.join(missing)} is not installed")
    lower = ["--lower-is-better"] * (name == "with_transformers.py")
    rows = searched(tmp_path, COMMANDS[0], "--evaluate", f"{name}:fit", *lower)
    assert len(rows) == 2
    for row in rows:
        assert row.trained.why is None
        assert [epoch.number for epoch in row.trained.history] == [1, 2, 3]
        if not lower:
            assert 0.5 < row.trained.val_accuracy <= 1
        else:
            assert -2 < row.trained.val_accuracy < 0


def test_the_command_of_the_page_trains(tmp_path: Path) -> None:
    rows = searched(tmp_path, COMMANDS[1])
    assert [len(row.trained.history) for row in rows] == [3, 3]
    assert all(0.5 < row.trained.val_accuracy <= 1 for row in rows)


def test_every_file_of_the_page_is_tried() -> None:
    tried = {"nets.py", "plain.py", "with_lightning.py", "with_transformers.py", "train.py"}
    assert set(FILES) == tried
    assert len(COMMANDS) == 2
