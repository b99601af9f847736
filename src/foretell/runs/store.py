"""Runs write rows; reports read rows.

A run is a folder. `run.json` holds the configuration that made it and never changes;
`rows.jsonl` is an append-only log of finished results, one JSON object a line:

    {"crc":"41831abe","key":{"proxy":"snip"},"value":4.25}

Everything that changes a value is in the row's key. What is not a finite number is written
as null, with the reason beside it in `why`, so every line is plain JSON.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import filelock

from foretell.errors import ForetellError, RunStateError
from foretell.files import (
    delete_drafts,
    os_errors_told,
    sync_folder,
    write_atomically,
    write_through,
)
from foretell.runs.rowlog import Damage, Log, Row, canonical, checked, read_log, row_line

FORMAT = 1
RUN, ROWS, DAMAGED, LOCK = "run.json", "rows.jsonl", "rows.damaged.jsonl", ".lock"


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
    """One line that names what was damaged and set aside at opening, or nothing."""

    def __init__(self, folder: Path, lock: filelock.BaseFileLock) -> None:
        """For `Store.open`: `folder` is a run of this configuration and `lock` is held."""
        log = read_log(folder / ROWS)
        self.folder = folder
        self.repaired = log.torn
        self.notice = _mend(folder, log)
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
            _refuse_foreign(path)
            lock = acquired(path)
            try:
                _settle(path, config)
                return cls(path, lock)
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

    def close(self) -> None:
        """Let another process write. Nothing is pending: every `add` was final."""
        if self._file >= 0:
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


def acquired(path: Path) -> filelock.BaseFileLock:
    """The lock of a run folder, held. Raises RunStateError if it has a writer already."""
    lock = filelock.FileLock(path / LOCK, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise RunStateError(
            f"another process is writing to {path}; wait until it ends or give another --run "
            "folder",
            path,
            "locked",
        ) from None
    return lock


@contextmanager
def locked(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Be the one writer of a run's files other than its rows.

    Raises RunStateError if it has a writer already, ForetellError if it cannot be written.
    """
    path = Path(folder)
    with os_errors_told(path):
        lock = acquired(path)
    try:
        yield
    finally:
        lock.release()


def read_config(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """The configuration that made the run. Raises RunStateError if this is not a run."""
    folder = Path(folder)
    path = folder / RUN
    try:
        run = json.loads(path.read_bytes())
        version, config = run["format"], run["config"]
    except FileNotFoundError:
        raise RunStateError(
            f"{folder} is not a run: it has no {RUN}; give a run's folder", folder, "not a run"
        ) from None
    except OSError as error:
        raise ForetellError(f"cannot read {path}: {error.strerror}; give a run's folder") from None
    except (ValueError, KeyError, TypeError):
        raise RunStateError(
            f"{path} is damaged; restore it or give another --run folder", folder, "damaged"
        ) from None
    if version != FORMAT or not isinstance(config, dict):
        raise RunStateError(
            f"{folder} is a run in format {version!r}, this foretell knows format {FORMAT}; "
            "use the foretell that wrote it or give another --run folder",
            folder,
            "other version",
        )
    return config


def read_rows(folder: str | os.PathLike[str]) -> list[Row]:
    """The finished rows of a run, oldest first; takes no lock and changes nothing.

    A line still being written is not finished and left out. Raises RunStateError if this is
    not a run or a line is damaged: a report must not quietly be about fewer rows.
    """
    read_config(folder)
    path = Path(folder) / ROWS
    log = read_log(path)
    if log.damaged:
        raise RunStateError(
            f"{_named(path, log.damaged)}; continue the run to have it computed again, "
            "or delete the line to do without",
            path.parent,
            "damaged",
        )
    return list(log.rows.values())


def _mend(folder: Path, log: Log) -> str:
    """Leave only whole rows in the log; copy aside what is damaged, and name it."""
    notice = ""
    if log.damaged:
        aside = folder / DAMAGED
        old = aside.read_bytes() if aside.exists() else b""
        write_atomically(aside, old + b"".join(bad.line + b"\n" for bad in log.damaged))
        notice = f"{_named(folder / ROWS, log.damaged)}; moved to {DAMAGED}, to be computed again"
    if not log.clean:
        write_atomically(folder / ROWS, log.text)
    return notice


def _named(path: Path, damaged: list[Damage]) -> str:
    more = f" (and {len(damaged) - 1} more)" if len(damaged) > 1 else ""
    return f"{path}:{damaged[0].number} {damaged[0].why}{more}"


def _refuse_foreign(path: Path) -> None:
    """Never write among the files of something that is not a run."""
    if (path / RUN).exists():
        return
    for entry in sorted(path.iterdir()):
        if not entry.name.startswith((LOCK, f".{RUN}.")):
            raise RunStateError(
                f"{path} is not a run: it has no {RUN} but holds {entry.name}; "
                "give a new or empty --run folder",
                path,
                "not a run",
            )


def _settle(path: Path, config: Mapping[str, Any]) -> None:
    """Write run.json, or compare it if it is there."""
    for below in (path, path / "networks"):
        delete_drafts(below)
    if not (path / RUN).exists():
        text = json.dumps({"format": FORMAT, "config": config}, indent=2, allow_nan=False)
        write_atomically(path / RUN, f"{text}\n".encode())
        return
    old, new = _settings(read_config(path)), _settings(config)
    differing = [
        f"{name} was {_short(old.get(name))}, now {_short(new.get(name))}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]
    if differing:
        raise RunStateError(
            f"{path} was made with other settings ({'; '.join(differing)}); "
            "give another --run folder or the settings of before",
            path,
            "other settings",
        )


def _settings(config: Mapping[str, Any], above: str = "") -> dict[str, str]:
    """Every single setting as JSON text, by its dotted name.

    >>> _settings({"seed": 0, "train": {"lr": 0.1}})
    {'seed': '0', 'train.lr': '0.1'}
    """
    flat: dict[str, str] = {}
    for name, value in config.items():
        if isinstance(value, Mapping) and value:
            flat |= _settings(value, f"{above}{name}.")
        else:
            flat[f"{above}{name}"] = canonical(value)
    return flat


def _short(text: str | None) -> str:
    if text is None:
        return "absent"
    return text if len(text) <= 60 else f"{text[:57]}..."
