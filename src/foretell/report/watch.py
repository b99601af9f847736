"""Serve the report of a run under way on this machine, written again as the run proceeds."""

import html
import threading
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from foretell.errors import ForetellError

__all__ = ["watching"]

LOOPBACK = "127.0.0.1"
EVERY = 10
"""Seconds between two requests of the browser for the page."""
PAGES = ("/", "/index.html")


class Watched:
    """A report that is written again if the run has new rows since it was written last."""

    def __init__(self, run: Path, write: Callable[[], Path]) -> None:
        """`write` writes the report and returns the path of its page."""
        self.folder = write().parent
        self._run, self._write = run, write
        self._lock, self._state = threading.Lock(), self._now()

    def _now(self) -> dict[Path, tuple[int, int]]:
        """The size and the time of the files with the rows."""
        states = {file: file.stat() for file in self._run.glob("rows.*")}
        return {file: (state.st_size, state.st_mtime_ns) for file, state in states.items()}

    def update(self) -> None:
        """Write the report again if there are new rows. Raises ForetellError like `write`."""
        with self._lock:
            if (now := self._now()) != self._state:
                self._write()
                self._state = now


class Handler(SimpleHTTPRequestHandler):
    """Answers requests for the files of a watched report; the page reloads itself."""

    def __init__(self, *args: Any, watched: Watched) -> None:
        self._watched = watched
        super().__init__(*args, directory=str(watched.folder))

    def do_GET(self) -> None:
        """Answer; other names than those of this machine, as in DNS rebinding, are refused."""
        if self.headers.get("Host", "").rpartition(":")[0] not in (LOOPBACK, "localhost"):
            self.send_error(403, "only this machine may read the report")
        elif self.path not in PAGES:
            super().do_GET()
        else:
            self._page()

    def _page(self) -> None:
        try:
            self._watched.update()
        except (ForetellError, OSError) as error:  # the run is being moved, or is damaged
            self.send_error(500, html.escape(" ".join(str(error).split())[:500]))
        else:
            super().do_GET()

    def end_headers(self) -> None:
        """Let the browser ask again, and keep nothing."""
        if self.path in PAGES:
            self.send_header("Refresh", str(EVERY))
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, *args: Any) -> None:
        """Print nothing."""


def watching(run: Path, write: Callable[[], Path], port: int = 0) -> ThreadingHTTPServer:
    """A server of the report at a port of the loopback interface, by default a free one.

    The report is written at once, and again when its page is requested and the run has new rows.
    Raises ForetellError like `write`, and if the port is in use.
    """
    watched = Watched(run, write)
    try:
        return ThreadingHTTPServer((LOOPBACK, port), partial(Handler, watched=watched))
    except OSError as error:
        raise ForetellError(
            f"port {port} cannot be used ({error.strerror}); choose another, or leave --port out"
        ) from error
