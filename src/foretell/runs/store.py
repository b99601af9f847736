"""Runs write rows; reports read rows.

A run is a folder. `run.json` holds the configuration that made it and never changes (`config.py`);
`kept.json` the digests of its files (`kept.py`); and `rows.jsonl` is an append-only log of finished
results, one JSON object a line:

    {"crc":"41831abe","key":{"proxy":"snip"},"value":4.25}

Everything that changes a value is in the row's key. What is not a finite number is written
as null, with the reason beside it in `why`, so every line is plain JSON.
"""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import filelock

from foretell.errors import ForetellError, RunStateError
from foretell.files import os_errors_told, sync_folder, write_atomically, write_through
from foretell.runs.config import acquired, read_config, refuse_foreign, settle
from foretell.runs.kept import keep, kept, read_record, record_rows
from foretell.runs.rowlog import Damage, Log, Row, canonical, checked, read_log, row_line

ROWS, DAMAGED = "rows.jsonl", "rows.damaged.jsonl"


class Store:
    """The rows of one run, open for writing; made by `Store.open`, one writer at a time.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder, Store.open(folder, {"seed": 0}) as store:
    ...     store.add({"key": {"arch": (3, 1), "proxy": "snip"}, "value": 4.25})
    ...     print(store.get({"proxy": "snip", "arch": [3, 1]})["value"])
    4.25
    """

    repaired: int
    """How many unfinished last lines were cut off at opening: 0 or 1."""
    notice: str
    """One line that names what was damaged, and what became of it, or nothing."""

    def __init__(self, folder: Path, lock: filelock.BaseFileLock) -> None:
        """For `Store.open`: `folder` is a run of this configuration and `lock` is held."""
        log = read_log(folder / ROWS)
        self.folder = folder
        self.repaired = log.torn
        self.notice = ""
        if lacking := _lacking(folder, read_record(folder).rows, log):
            self.tell(f"{lacking}; computed again")
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
    def open(cls, folder: str | os.PathLike[str], config: Mapping[str, Any]) -> Self:
        """Create the run, or continue it if `config` is the one that made it.

        Raises RunStateError if the folder holds something else, was made with another
        configuration or format, or has a writer already; ForetellError if it cannot be written.
        """
        path = Path(folder)
        with os_errors_told(path):
            path.mkdir(parents=True, exist_ok=True)
            refuse_foreign(path)
            lock = acquired(path)
            try:
                mended = settle(path, config)
                store = cls(path, lock)
                store.tell(mended)
                return store
            except BaseException:
                lock.release()
                raise

    def add(self, row: Row) -> None:
        """Write one row; once this returns, the row survives a kill or a power cut.

        A row that is there already is left alone. Raises ForetellError if its key is there
        with other values, if it is not plain JSON (nan is not), or if the disk is full;
        then the store is as it was.
        """
        key, body = checked(row)
        known = self._rows.get(key)
        if known is None:
            self._append(row_line(body))
            self._rows[key] = json.loads(body)
        elif canonical(known) != body:
            raise ForetellError(
                f"{self.folder / ROWS} holds other values for {key}; "
                "put what made them differ into the key"
            )

    def rows(self) -> list[Row]:
        """All rows, oldest first, as JSON gives them back: lists where there were tuples."""
        return list(self._rows.values())

    def get(self, key: Mapping[str, Any]) -> Row | None:
        """The row with this key, or None."""
        return self._rows.get(canonical(key))

    def __contains__(self, key: Mapping[str, Any]) -> bool:
        return canonical(key) in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def keep(self, name: str, content: bytes) -> None:
        """Write a file beside the rows, as `foretell.runs.kept.keep` does."""
        keep(self.folder, name, content)

    def kept(self, name: str) -> bytes:
        """The content of a file beside the rows, as `foretell.runs.kept.kept` gives it."""
        return kept(self.folder, name)

    def tell(self, line: str) -> None:
        """Say that something was damaged, in `notice`."""
        self.notice = "; ".join(filter(None, (self.notice, line)))

    def close(self) -> None:
        """Let another process write. Nothing is pending: every `add` was final."""
        if self._file >= 0:
            with suppress(ForetellError):  # the rows are there, whether they are counted or not
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
            if os.fstat(self._file).st_size != self._size:  # cutting off below had failed
                os.ftruncate(self._file, self._size)
            try:
                write_through(self._file, line)
            except BaseException:  # Ctrl-C too: the next line must not follow half a line
                with suppress(OSError):
                    os.ftruncate(self._file, self._size)
                raise
            self._size += len(line)


def read_rows(folder: str | os.PathLike[str]) -> list[Row]:
    """The finished rows of a run, oldest first; takes no lock and changes nothing.

    A line still being written is not finished and left out. Raises RunStateError if this is
    not a run, or a line is damaged or lost: a report must not quietly be about fewer rows.
    """
    folder = Path(folder)
    read_config(folder)
    counted = read_record(folder).rows
    log = read_log(folder / ROWS)
    if log.damaged or (lacking := _lacking(folder, counted, log)):
        what = _named(folder / ROWS, log.damaged) if log.damaged else lacking
        raise RunStateError(f"{what}; continue the run to compute it again", folder, "damaged")
    return list(log.rows.values())


def _lacking(folder: Path, counted: int, log: Log) -> str:
    """How many rows there were that are neither there nor damaged, or nothing."""
    lost = counted - len(log.rows) - len(log.damaged)
    return f"{folder / ROWS} lacks {lost} of its {counted} rows" if lost > 0 else ""


def _set_aside(folder: Path, log: Log) -> str:
    """Copy aside what is damaged in the log, and name it."""
    aside = folder / DAMAGED
    old = aside.read_bytes() if aside.exists() else b""
    write_atomically(aside, old + b"".join(bad.line + b"\n" for bad in log.damaged))
    return f"{_named(folder / ROWS, log.damaged)}; moved to {DAMAGED}, to be computed again"


def _named(path: Path, damaged: list[Damage]) -> str:
    more = f" (and {len(damaged) - 1} more)" if len(damaged) > 1 else ""
    return f"{path}:{damaged[0].number} {damaged[0].why}{more}"
