"""Processes that tests start: every wait ends, and what tests can import they can import too."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE = 300
"""Seconds after which a process that has not ended is taken to hang; machines are busy."""


def environment(*folders: Path, **variables: str) -> dict[str, str]:
    """This process's variables and these, for one thread; modules come from `folders` first."""
    paths = [*map(str, folders), *filter(None, sys.path)]
    one_thread = {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)}
    return os.environ | one_thread | variables


def finished(
    *command: str, cwd: Path | None = None, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """A command that has ended, however it ended."""
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
    """What another Python made of these arguments."""
    return finished(sys.executable, *arguments, cwd=cwd, env=env)


@contextmanager
def started(*command: str) -> Iterator[subprocess.Popen[str]]:
    """A command that runs while the block does; what is left of it afterwards is killed."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment(), stdout=pipe, stderr=pipe, text=True) as run:
        try:
            yield run
        finally:
            run.kill()
