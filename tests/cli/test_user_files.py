"""Users' own files on the command line: whatever they do, the command succeeds or says why not."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from foretell.cli import main
from foretell.errors import ForetellError
from foretell.user_code import named_in_file

ZOO = """
import os
import sys
from torch import nn

def good():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

def noisy():
    print("building ...")
    return good()

def exits():
    sys.exit(3)

def exits_well():
    raise SystemExit

def exits_at_once():
    os._exit(0)

def raises():
    raise KeyError("weight")

def wants(depth):
    return good()

def returns_nothing():
    pass

def on_meta():
    return good().to("meta")

class ExitsInForward(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = good()
    def forward(self, x):
        print("forward", flush=True)
        sys.exit(f"no {len(x)} samples here")

class ExitsAtOnceInForward(ExitsInForward):
    def forward(self, x):
        os._exit(0)

class FailsInForward(ExitsInForward):
    def forward(self, x):
        raise StopIteration

class FailsInBackward(ExitsInForward):
    def forward(self, x):
        out = self.inner(x)
        if out.requires_grad:
            out.register_hook(lambda grad: 1 / 0)
        return out

class Sparse(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.head = nn.Embedding(20, 8, sparse=True), nn.Linear(8, 10)
    def forward(self, x):
        return self.head(self.embedding((x.flatten(1) * 0).long()).mean(1))
"""
BUILD = [
    *("exits", "exits_well", "exits_at_once", "raises", "wants", "returns_nothing", "on_meta"),
    "nowhere",
]
FAILING = [
    *(*BUILD, "ExitsInForward", "ExitsAtOnceInForward", "FailsInForward", "FailsInBackward"),
]


@pytest.fixture
def zoo(tmp_path: Path) -> str:
    """A file of models that misbehave."""
    path = tmp_path / "zoo.py"
    path.write_text(ZOO)
    return str(path)


def test_one_failing_model_never_ends_a_ranking(
    zoo: str, capsys: pytest.CaptureFixture[str]
) -> None:
    models = [f"{zoo}:{name}" for name in ("good", "noisy", *FAILING)]
    assert main(["rank", *models, "--proxies", "snip", "--json"]) == 0
    out, errors = capsys.readouterr()
    rows = {row["model"].rpartition(":")[2]: row for row in json.loads(out)["rows"]}
    assert rows.keys() == {"good", "noisy", *FAILING}
    assert rows["good"]["snip"] == rows["noisy"]["snip"] > 0
    assert all(rows[name]["snip"] is None and rows[name]["why"] for name in FAILING)
    assert "building ..." in errors


@pytest.mark.parametrize("name", FAILING)
def test_its_reason_is_one_line(name: str, zoo: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["score", f"{zoo}:{name}", "--proxies", "snip"])
    out, errors = capsys.readouterr()
    said = [line for line in errors.splitlines() if line.startswith("foretell: ")]
    assert code == (2 if said else 0)
    assert len(said) == 1 or "–" in out
    assert "Traceback" not in errors


def test_what_a_model_or_its_workers_print_is_not_in_the_answer(zoo: str, tmp_path: Path) -> None:
    space = tmp_path / "space.py"
    space.write_text(
        "from foretell.spaces import Choices\n"
        "from torch import nn\n"
        "def build(width):\n"
        "    print('building', flush=True)\n"
        "    import os; os.system('echo from a subprocess')\n"
        "    return nn.Sequential(nn.Linear(30, width), nn.ReLU(), nn.Linear(width, 2))\n"
        "mlp = Choices(build, {'width': [2, 4, 8, 16]})\n"
    )
    command = ["search", "--space", f"{space}:mlp", "--data", "breast_cancer", "--run", "run"]
    command += ["--pool", "3", "--trainings", "1", "--epochs", "1", "--workers", "2", "--json"]
    found = subprocess.run(
        [sys.executable, "-m", "foretell", *command, "--proxies", "synflow"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert len(json.loads(found.stdout)["rows"]) == 1
    assert "from a subprocess" in found.stderr


def test_a_file_sees_its_folder_and_no_arguments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "neighbour.py").write_text("width = 9")
    (tmp_path / "late.py").write_text("depth = 4")
    (tmp_path / "nets.py").write_text(
        "import argparse, sys\n"
        "from neighbour import width\n"
        "parser = argparse.ArgumentParser()\n"
        "parser.add_argument('--lr', type=float, default=0.1)\n"
        "lr = parser.parse_args().lr\n"
        "def depth():\n"
        "    from late import depth\n"
        "    return depth\n"
    )
    monkeypatch.setattr(sys, "argv", ["foretell", "score", "--json"])
    before = list(sys.path)
    file = tmp_path / "nets.py"
    assert (named_in_file(f"{file}:width"), named_in_file(f"{file}:lr")) == (9, 0.1)
    assert named_in_file(f"{file}:depth")() == 4
    assert sys.argv == ["foretell", "score", "--json"]
    assert sys.path == [*before, str(tmp_path.resolve())]


def test_neighbours_of_one_name_in_two_folders_are_not_confused(tmp_path: Path) -> None:
    for number, folder in enumerate(("a", "b", "a")):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "namesake.py").write_text(f"number = '{folder}'")
        (tmp_path / folder / "nets.py").write_text("from namesake import number")
        assert named_in_file(f"{tmp_path / folder / 'nets.py'}:number") == folder, number


@pytest.mark.parametrize("command", ["score", "search --space", "search --evaluate"])
@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import sys; sys.exit(4)", "SystemExit: 4"),
        ("raise SystemExit", "SystemExit: no message"),
        ("import os; os._exit(0)", r"SystemExit: os\._exit\(0\)"),
        ("import nowhere_to_be_found", "No module named 'nowhere_to_be_found'"),
        ("def broken(:", "SyntaxError"),
        ("raise StopIteration", "StopIteration"),
        ("class Own(BaseException): pass\nraise Own('no')", "Own: no"),
        ("raise __import__('asyncio').CancelledError", "CancelledError"),
        ("raise MemoryError", "MemoryError"),
        ("def again(): again()\nagain()", "RecursionError"),
        ("def __getattr__(name): raise RuntimeError('lazy ' + name)", "lazy"),
        ("x = '\udcff'", "not UTF-8|utf-8"),
        ("x = 1\0", "null bytes"),
        ("", "nets.py:net'"),
        ("from argparse import *; ArgumentParser().add_argument", "nets.py:net'"),
    ],
)
def test_a_file_that_fails_is_told_in_one_line(
    code: str,
    said: str,
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("nets.py").write_text(code, errors="surrogateescape")
    assert main([*command.split(), "nets.py:net"]) == 2
    error = capsys.readouterr().err
    assert re.search(said, error)
    assert error.count("\n") == 1
    assert not Path("runs").exists()


def test_ctrl_c_in_a_file_stops_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "nets.py"
    file.write_text("raise KeyboardInterrupt")
    assert main(["score", f"{file}:net"]) == 130


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ForetellError, match="there is no file"):
        named_in_file(f"{tmp_path / 'none.py'}:net")
