"""Runs a command of foretell in this process and returns its output and exit code."""

import pytest

from foretell.cli import main


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """The exit code, output and errors of a command."""
    code = main([*arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line with which a command refuses, with exit code 2."""
    code, _, line = run(capsys, *arguments)
    assert code == 2
    assert line.startswith("foretell: ")
    assert line.count("\n") == 1
    return line
