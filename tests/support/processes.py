"""Processes that tests start: every wait has a time limit, and they can import what tests can."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE = 300
"""The seconds after which a process is considered to hang; generous, since machines are busy."""


def environment(*folders: Path, **variables: str) -> dict[str, str]:
    """The variables of this process and `variables`, for one thread; `folders` come first."""
    paths = [*map(str, folders), *filter(None, sys.path)]
    one_thread = {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)}
    return os.environ | one_thread | variables


def finished(
    *command: str, cwd: Path | None = None, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The result of a command, whether it succeeds or fails."""
    return subprocess.run(
        command,
        cwd=cwd,
        env=env or environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def python(
    *arguments: str, cwd: Path | None = None, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The result of another Python process with these arguments."""
    return finished(sys.executable, *arguments, cwd=cwd, env=env)


@contextmanager
def started(*command: str) -> Iterator[subprocess.Popen[str]]:
    """A command that runs during the block and is killed afterwards if it has not ended."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment(), stdout=pipe, stderr=pipe, text=True) as run:
        try:
            yield run
        finally:
            run.kill()
