"""Commands of foretell as they must be typed, for the hints that commands end with."""

import os
import shlex
import shutil
import sys
from pathlib import Path

import click

__all__ = ["WORDS", "as_typed", "typed"]

WORDS = "foretell.words"
"""The key of the words of the command line in the `meta` of the outermost click context."""


def typed() -> list[str]:
    """The words of the running command, without those that start foretell."""
    words: list[str] = click.get_current_context().find_root().meta.get(WORDS, [])
    return words


def as_typed(*words: str) -> str:
    """A command of foretell with these words.

    >>> as_typed("report", "my runs")
    "foretell report 'my runs'"
    """
    return shlex.join([*program(sys.argv[0]), *words])


def program(started: str) -> list[str]:
    """The words that start foretell, given how it was started.

    >>> program("/nowhere/bin/pytest")
    ['foretell']
    """
    path = Path(started)
    if path.name == "__main__.py":
        return [sys.executable, "-m", "foretell"]
    known = shutil.which("foretell")
    if path.stem != "foretell" or (known and Path(known).resolve() == path.resolve()):
        return ["foretell"]
    relative = os.path.relpath(path)
    return [str(path) if relative.startswith("..") else relative]
