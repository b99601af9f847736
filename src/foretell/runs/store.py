"""The store of a run: runs add rows to it, and reports read them.

A run is a folder. `run.json` contains its configuration, in which only a budget may grow
(`config.py`), and `kept.json` the digests of its files (`kept.py`). `rows.jsonl` is an append-only
log of finished results, one JSON object per line:

    {"crc":"41831abe","key":{"proxy":"snip"},"value":4.25}

Everything that can change a value is part of the key of its row. A number that is not finite is
written as null, with the reason in `why`, so every line is plain JSON.
"""

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import filelock

from foretell.errors import ForetellError, RunStateError
from foretell.files import (
    new_folder,
    os_errors_told,
    read_file,
    sync_folder,
    write_atomically,
    write_through,
)
from foretell.runs.config import ROWS, acquired, read_config, refuse_foreign, settle
from foretell.runs.kept import keep, kept, read_record, record_rows
from foretell.runs.rowlog import Damage, Log, Row, canonical, checked, read_log, row_line

DAMAGED = "rows.damaged.jsonl"


class Store:
    """The rows of a run, opened for writing by `Store.open`; only one process can write at a time.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder, Store.open(folder, {"seed": 0}) as store:
    ...     store.add({"key": {"arch": (3, 1), "proxy": "snip"}, "value": 4.25})
    ...     print(store.get({"proxy": "snip", "arch": [3, 1]})["value"])
    4.25
    """

    repaired: int
    """The number of incomplete last lines that were removed when the store was opened: 0 or 1."""
    notice: str
    """One line that says what was damaged and what was done about it; empty if nothing was
    damaged."""

    def __init__(self, folder: Path, lock: filelock.BaseFileLock) -> None:
        """Use `Store.open` instead; `folder` must be a run with this configuration, `lock` held."""
        log = read_log(folder / ROWS)
        self.folder = folder
        self.repaired = log.torn
        self.notice = ""
        if lacking := _lacking(folder, read_record(folder).rows, log):
            self.tell(f"{lacking}, which are computed again")
        if log.damaged:
            self.tell(_set_aside(folder, log))
        if not log.clean:
            write_atomically(folder / ROWS, log.text)
        self._rows = log.rows
        self._size = len(log.text)
        self._lock = lock
        self._file = os.open(folder / ROWS, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        sync_folder(folder)

    @classmethod
    def open(
        cls,
        folder: str | os.PathLike[str],
        config: Mapping[str, Any],
        growing: Sequence[str] = (),
    ) -> Self:
        """Create the run, or continue it if it has the same configuration.

        The settings `growing` may be larger than before; the new values are then stored.

        Raises RunStateError if the folder contains something else, has another configuration or
        format, or if another process is writing to it; ForetellError if it cannot be written.
        """
        path = Path(folder)
        with os_errors_told(path), new_folder(path):
            refuse_foreign(path)
            lock = acquired(path)
            try:
                mended = settle(path, config, growing)
                store = cls(path, lock)
                store.tell(mended)
                return store
            except BaseException:
                lock.release()
                raise

    def add(self, row: Row) -> None:
        """Write one row; when this method returns, the row survives a kill or a power failure.

        An existing row is left unchanged. Raises ForetellError if the key exists with other values,
        if the row is not plain JSON (nan is not), or if the disk is full; the store is then
        unchanged.
        """
        key, body = checked(row)
        known = self._rows.get(key)
        if known is None:
            self._append(row_line(body))
            self._rows[key] = json.loads(body)
        elif canonical(known) != body:
            raise ForetellError(
                f"{self.folder / ROWS} contains other values for {key}; "
                "add to the key what makes the values differ"
            )

    def rows(self) -> list[Row]:
        """All rows, oldest first, as read from JSON, in which tuples are lists."""
        return list(self._rows.values())

    def get(self, key: Mapping[str, Any]) -> Row | None:
        """The row with this key, or None."""
        return self._rows.get(canonical(key))

    def __contains__(self, key: Mapping[str, Any]) -> bool:
        return canonical(key) in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def keep(self, name: str, content: bytes) -> None:
        """Write another file of the run with `foretell.runs.kept.keep`."""
        keep(self.folder, name, content)

    def kept(self, name: str) -> bytes:
        """The content of another file of the run, read with `foretell.runs.kept.kept`."""
        return kept(self.folder, name)

    def tell(self, line: str) -> None:
        """Add a line about damage to `notice`."""
        self.notice = "; ".join(filter(None, (self.notice, line)))

    def close(self) -> None:
        """Release the run for other writers. Every `add` has already been written to disk."""
        if self._file >= 0:
            with suppress(ForetellError):  # the rows are complete even if their number is not
                record_rows(self.folder, len(self))
            os.close(self._file)
            self._file = -1
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _append(self, line: bytes) -> None:
        with os_errors_told(self.folder):
            if os.fstat(self._file).st_size != self._size:  # truncating the file below has failed
                os.ftruncate(self._file, self._size)
            try:
                write_through(self._file, line)
            except BaseException:  # including Ctrl-C, so that no line follows an incomplete one
                with suppress(OSError):
                    os.ftruncate(self._file, self._size)
                raise
            self._size += len(line)


def read_rows(folder: str | os.PathLike[str]) -> list[Row]:
    """Read the finished rows of a run, oldest first, without a lock and without any change.

    A line that is still being written is left out. Raises RunStateError if the folder is not a run,
    or if a line is damaged or missing, since a report must not silently be based on fewer rows.
    """
    folder = Path(folder)
    read_config(folder)
    counted = read_record(folder).rows
    log = read_log(folder / ROWS)
    if log.damaged or (lacking := _lacking(folder, counted, log)):
        what = _named(folder / ROWS, log.damaged) if log.damaged else lacking
        raise RunStateError(f"{what}; resume the run to compute it again", folder, "damaged")
    return list(log.rows.values())


def _lacking(folder: Path, counted: int, log: Log) -> str:
    """The message about missing rows; empty if none is missing."""
    lost = counted - len(log.rows) - len(log.damaged)
    return f"{folder / ROWS} lacks {lost} of its {counted} rows" if lost > 0 else ""


def _set_aside(folder: Path, log: Log) -> str:
    """Copy the damaged lines to another file; return a notice about it."""
    aside = folder / DAMAGED
    old = read_file(aside) if aside.exists() else b""
    write_atomically(aside, old + b"".join(bad.line + b"\n" for bad in log.damaged))
    return f"{_named(folder / ROWS, log.damaged)}; moved to {DAMAGED} and computed again"


def _named(path: Path, damaged: list[Damage]) -> str:
    more = f" (and {len(damaged) - 1} more)" if len(damaged) > 1 else ""
    return f"{path}:{damaged[0].number} {damaged[0].why}{more}"
