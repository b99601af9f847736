"""Help, version, completion and typos need no network and start without importing PyTorch."""

import os
import subprocess
import sys

import pytest

from foretell.cli import main
from foretell.cli.app import COMMANDS

HEAVY = ["torch", "numpy", "pandas", "scipy", "sklearn", "triton", "rich", "asyncio"]
CODE = """
import sys
from foretell.cli import entry
code = entry()
heavy = [name for name in HEAVY if name in sys.modules]
print(code, *heavy, file=sys.stderr)
""".replace("HEAVY", repr(HEAVY))

QUICK = {
    "no arguments": ([], 0),
    "version": (["--version"], 0),
    "help": (["--help"], 0),
    **{f"help of {name}": ([*name.split(), "--help"], 0) for name in COMMANDS},
    "help of data import": (["data", "import", "--help"], 0),
    "a script for completion": (["completion", "bash"], 0),
    "no such command": (["rnk"], 2),
    "no such option": (["rank", "nb201:333333", "--proxy", "snip"], 2),
    "no such value": (["search", "--pool", "many"], 2),
    "no model": (["score"], 2),
}


def modules_after(words: list[str], **environment: str) -> list[str]:
    """The exit code of a command in its own process, and the heavy modules that it imported."""
    ended = subprocess.run(
        [sys.executable, "-c", CODE, *words],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return ended.stderr.splitlines()[-1].split()


@pytest.mark.parametrize("case", QUICK)
def test_no_heavy_module_is_imported(case: str) -> None:
    words, code = QUICK[case]
    assert modules_after(words) == [str(code)]


def test_nor_for_completion() -> None:
    words = {"COMP_WORDS": "foretell search --opt", "COMP_CWORD": "2"}
    assert modules_after([], _FORETELL_COMPLETE="bash_complete", **words) == ["0"]


@pytest.mark.parametrize("asked", ["nonsense", "bash_nonsense", "bash_complete"])
def test_a_shell_that_asks_otherwise_gets_no_traceback(
    asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_FORETELL_COMPLETE", asked)
    monkeypatch.delenv("COMP_WORDS", raising=False)
    assert main([]) == 1


def test_a_command_that_computes_imports_what_it_needs() -> None:
    """Otherwise the tests above would be meaningless."""
    assert "torch" in modules_after(["explain", "--proxies", "snip"])
