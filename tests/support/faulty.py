"""Runs the command line in forked children, with a fault at one of their file operations.

These include the operations of SQLite, except for syncing, which it does not let others replace.

Imports happen once, so a request (a line of JSON on standard input) takes only as long as its work.
A child is the leader of its own process group, which its workers belong to. Linux only.
"""

import _sqlite3
import ctypes
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
            setattr(os, name, self.standing_before(name, self.real[name]))
        self.calls = [
            replaced_in_sqlite("open", self.standing_before("open", self.real["open"])),
            replaced_in_sqlite("unlink", self.standing_before("unlink", self.real["unlink"])),
            replaced_in_sqlite("write", self.standing_before("write", self.real["write"])),
            replaced_in_sqlite("pwrite", self.standing_before("write", os.pwrite)),
            replaced_in_sqlite("pwrite64", self.standing_before("write", os.pwrite)),
            replaced_in_sqlite("ftruncate", self.standing_before("ftruncate", os.ftruncate)),
            replaced_in_sqlite("close", self.closed),
        ]

    def closed(self, file: int) -> int:
        """Close a file of SQLite, whose number may become that of another file."""
        self.paths.pop(file, None)
        os.close(file)
        return 0

    def standing_before(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        """The wrapper of the call with that name."""

        def call(target: Any, *rest: Any, **more: Any) -> Any:
            path = self.paths.get(target, "") if isinstance(target, int) else os.fspath(target)
            only_reads = name == "open" and not rest[0] & os.O_CREAT
            if not only_reads and path.startswith(self.watched):
                begins = self.take_note(name, path)
                if begins and name == "write":
                    written = real(target, rest[0][: len(rest[0]) // 2], *rest[1:])
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


class FileSystem(ctypes.Structure):
    """The beginning of SQLite's `sqlite3_vfs`."""

    _fields_ = (
        *((name, ctypes.c_int) for name in ("version", "size", "longest")),
        *((name, ctypes.c_void_p) for name in ("next", "name", "data")),
        ("methods", ctypes.c_void_p * 13),
        ("set_system_call", ctypes.c_void_p),
    )


SYSTEM_CALLS: dict[str, tuple[Any, ...]] = {
    "open": (ctypes.c_char_p, ctypes.c_int, ctypes.c_int),
    "close": (ctypes.c_int,),
    "unlink": (ctypes.c_char_p,),
    "write": (ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t),
    "pwrite": (ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int64),
    "pwrite64": (ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int64),
    "ftruncate": (ctypes.c_int, ctypes.c_int64),
}
"""The types of the arguments of SQLite's system calls."""


def replaced_in_sqlite(name: str, call: Callable[..., Any]) -> object:
    """Let SQLite call this function instead of the system; the result must be kept."""

    def wrapped(*values: Any) -> int:
        if "write" in name:
            file, address, size, *place = values
            values = (file, (ctypes.c_char * size).from_address(address).raw, *place)
        try:
            first = os.fsdecode(values[0]) if isinstance(values[0], bytes) else values[0]
            done = call(first, *values[1:])
        except OSError as error:
            ctypes.set_errno(error.errno or EIO)
            return -1
        return done or 0

    types = SYSTEM_CALLS[name]
    kept = ctypes.CFUNCTYPE(ctypes.c_ssize_t, *types, use_errno=True)(wrapped)
    library = ctypes.CDLL(_sqlite3.__file__)
    library.sqlite3_vfs_find.restype = ctypes.POINTER(FileSystem)
    system = library.sqlite3_vfs_find(None)
    setter = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_void_p] * 3)
    names = ctypes.create_string_buffer(name.encode())
    found = setter(system.contents.set_system_call)(
        ctypes.cast(system, ctypes.c_void_p),
        ctypes.cast(names, ctypes.c_void_p),
        ctypes.cast(kept, ctypes.c_void_p),
    )
    assert found == 0, name
    return kept


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
