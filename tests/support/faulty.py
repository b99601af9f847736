"""Runs the command line in forked children, with a fault at one of their file operations.

Imports happen once, so a request (a line of JSON on standard input) takes only as long as its work.
A child is the leader of its own process group, which its workers belong to. Linux only.
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from errno import EACCES, EIO, ENOSPC, EROFS
from pathlib import Path
from typing import Any, Literal, Self

from tests.support.processes import PATIENCE, environment

Fault = Literal["kill", "orphan", "stop", "full", "denied", "read-only", "broken"]
OPERATIONS = ("open", "mkdir", "write", "fsync", "ftruncate", "replace", "unlink")
ERRORS = {
    "full": (ENOSPC, ("open", "mkdir", "write")),
    "denied": (EACCES, ("open", "mkdir", "replace", "unlink")),
    "read-only": (EROFS, ("open", "mkdir", "replace", "unlink")),
    "broken": (EIO, ("write", "fsync")),
}
"""The error of each fault of a disk, and the operations that have it."""


@dataclass(frozen=True)
class Ended:
    """The result of one command."""

    code: int  # as the shell reports it, or minus the signal that ended it
    out: str
    err: str
    operations: list[str]  # on files of the watched folder, each with the name of the file
    process: int
    stopped: bool


class Forks:
    """The process that forks, as seen by a test; use it in a `with` statement."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.faulty"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(),
            text=True,
        )

    def run(
        self,
        command: list[str],
        watched: Path | str,
        at: int | str | None = None,
        fault: Fault = "kill",
        where: Path | str = ".",
    ) -> Ended:
        """Run a command to its end, or with a fault at an operation on files in `watched`.

        `at` is the number of the operation, counted from 1, or a pattern for it: "write .*pt". The
        fault `kill` kills the process and its workers after half of the data was written; `orphan`
        kills the process without them; `stop` stops it; those of `ERRORS` make all later operations
        of these kinds fail. `where` is the working folder, to which `watched` is relative.
        """
        request = {"command": command, "watched": str(watched), "at": at, "fault": fault}
        return self._asked({**request, "where": str(where)})

    def go_on(self, stopped: Ended) -> Ended:
        """Continue a stopped command, and run it to its end."""
        return self._asked({"go_on": stopped.process})

    def _asked(self, request: dict[str, Any]) -> Ended:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(request), file=self._process.stdin, flush=True)
        return Ended(**json.loads(self._process.stdout.readline()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=PATIENCE)


class Watch:
    """Wraps system calls, records those on files of one folder, and makes one of them fail."""

    def __init__(self, watched: str, at: int | str | None, fault: Fault, notes: int) -> None:
        self.watched, self.at, self.fault, self.notes = watched, at, fault, notes
        self.count = 0
        self.since = 0  # number of operations since the fault, including the faulty one
        self.paths: dict[int, str] = {}
        self.real: dict[str, Callable[..., Any]] = {name: getattr(os, name) for name in OPERATIONS}
        for name in OPERATIONS:
            setattr(os, name, self.standing_before(name))

    def standing_before(self, name: str) -> Callable[..., Any]:
        """The wrapper of the call with that name."""
        real = self.real[name]

        def call(target: Any, *rest: Any, **more: Any) -> Any:
            path = self.paths.get(target, "") if isinstance(target, int) else os.fspath(target)
            only_reads = name == "open" and not rest[0] & os.O_CREAT
            if not only_reads and path.startswith(self.watched):
                begins = self.take_note(name, path)
                if begins and name == "write":
                    written = real(target, rest[0][: len(rest[0]) // 2])
                    if self.fault != "full":
                        self.fail(name, path, begins)
                    return written
                if self.since:
                    self.fail(name, path, begins)
            result = real(target, *rest, **more)
            if name == "open":
                self.paths[result] = path
            return result

        return call

    def take_note(self, name: str, path: str) -> bool:
        """Record an operation; return whether the fault begins with it."""
        self.count += 1
        note = f"{name} {os.path.basename(path)}"
        self.real["write"](self.notes, f"{note}\n".encode())
        if self.since or self.at is None:
            return False
        if re.match(self.at, note) if isinstance(self.at, str) else self.count == self.at:
            self.since = self.count
        return bool(self.since)

    def fail(self, name: str, path: str, begins: bool) -> None:
        """Have the fault."""
        error, failing = ERRORS.get(self.fault, (0, ()))
        if name in failing:
            raise OSError(error, os.strerror(error), path)
        if self.fault == "kill":
            os.killpg(0, signal.SIGKILL)
        if self.fault == "orphan":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fault == "stop" and begins:
            os.kill(os.getpid(), signal.SIGSTOP)


def serve() -> None:
    """Answer each request with a line."""
    import torch._dynamo  # noqa: F401 - otherwise each child would import it to train
    import vl_convert  # noqa: F401

    import foretell.report.write
    import foretell.searching.retrain
    import foretell.studies.searches  # noqa: F401 - commands import what they need when they run
    from foretell.cli import main
    from foretell.runs.tasks import loaded
    from foretell.spaces import make_space

    loaded("digits")
    make_space("nb201", {}).canonical((0,) * 6)  # computes the forms of all architectures
    asked: dict[int, dict[str, Any]] = {}
    for line in sys.stdin:
        request = json.loads(line)
        if child := request.get("go_on"):
            request = asked.pop(child)
            os.kill(child, signal.SIGCONT)
        else:
            child = begun(main, request)
        _, status = os.waitpid(child, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            asked[child] = request
        print(json.dumps(asdict(ended(child, status, request))), flush=True)
    for child in asked:
        os.killpg(child, signal.SIGKILL)


def begun(main: Callable[[list[str]], int], request: dict[str, Any]) -> int:
    """Start a child that runs the command."""
    request["files"] = [os.memfd_create(name) for name in ("out", "err", "operations")]
    if child := os.fork():
        return child
    os.setsid()
    os.chdir(request["where"])
    out, err, notes = request["files"]
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(out, 1)
    os.dup2(err, 2)
    Watch(request["watched"], request["at"], request["fault"], notes)
    code = 1
    try:
        code = main(request["command"])
    except SystemExit as exit:
        code = int(exit.code or 0)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def ended(child: int, status: int, request: dict[str, Any]) -> Ended:
    """The results of a child so far."""
    out, err, notes = (Path(f"/proc/self/fd/{file}").read_text() for file in request["files"])
    stopped = os.WIFSTOPPED(status)
    for file in [] if stopped else request["files"]:
        os.close(file)
    code = 0 if stopped else os.waitstatus_to_exitcode(status)
    return Ended(code, out, err, notes.splitlines(), child, stopped)


if __name__ == "__main__":
    serve()
