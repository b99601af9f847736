"""The store of a run: runs add rows to it, and reports read them.

A run is a folder. `run.json` contains its configuration, in which only a budget may grow
(`config.py`), and `kept.json` the digests of its files (`kept.py`). `rows.sqlite` contains the
finished results, one row each, to which rows are only appended (`rowfile.py`):

    {"key":{"proxy":"snip"},"value":4.25}

Everything that can change a value is part of the key of its row. A number that is not finite is
written as null, with the reason in `why`, so every row is plain JSON.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Self, TypeVar

import filelock

from foretell.errors import ForetellError, RunStateError
from foretell.files import new_folder, os_errors_told, read_file
from foretell.runs.config import acquired, read_config, refuse_foreign, settle
from foretell.runs.kept import keep, kept, read_record, record_rows
from foretell.runs.rowfile import (
    DAMAGED,
    LOG,
    ROWS,
    DamageError,
    RowFile,
    digest_of_key,
    rebuild,
    write_rows,
)
from foretell.runs.rowlog import Row, canonical, checked, parse_line, parse_log, row_line

Found = TypeVar("Found")

CHECK = ".check"
"""The file with which a reader asks the next writer to check all rows."""
SMALL = 2**22
"""The bytes up to which all rows are checked whenever a run is opened, which takes about 0.1 s."""
MOST, LONGEST = 256, 1.0
"""The rows, and the seconds, after which the rows of a group are committed before its end."""


class Store:
    """The rows of a run, opened for writing by `Store.open`; only one process can write at a time.

    Iterating over it yields all rows, oldest first, as read from JSON, in which tuples are lists.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder, Store.open(folder, {"seed": 0}) as store:
    ...     store.add({"key": {"arch": (3, 1), "proxy": "snip"}, "value": 4.25})
    ...     print(store.get({"proxy": "snip", "arch": [3, 1]})["value"])
    4.25
    """

    notice: str
    """One line that says what was damaged and what was done about it; empty if nothing was
    damaged."""

    def __init__(self, folder: Path, lock: filelock.BaseFileLock) -> None:
        """Use `Store.open` instead; `folder` must be a run with this configuration, `lock` held."""
        self.folder = folder
        self.notice = ""
        self._lock = lock
        self._waiting: dict[bytes, bytes] = {}
        self._since = 0.0
        self._grouped = False
        if not os.path.lexists(folder / ROWS):
            self.tell(_begun(folder))
        try:
            self._file = RowFile(folder)
        except DamageError as damage:
            self._file = self._rebuilt(damage)
        self._check()
        counted = read_record(folder).rows
        if not self.notice and (lacking := _lacking(folder, len(self), counted)):
            self.tell(f"{lacking}, which are computed again")

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

        In a `group`, this holds when the group ends. An existing row is left unchanged. Raises
        ForetellError if the key exists with other values, if the row is not plain JSON (nan is
        not), or if the disk is full; the store is then unchanged.
        """
        key, body = checked(row)
        digest, line = digest_of_key(key), row_line(body)
        known = self._found(digest)
        if known is None:
            self._since = self._since if self._waiting else time.monotonic()
            self._waiting[digest] = line
            late = time.monotonic() - self._since > LONGEST or len(self._waiting) >= MOST
            if late or not self._grouped:
                self.flush()
        elif known[0] != line:
            raise ForetellError(
                f"{self.folder / ROWS} contains other values for {key}; "
                "add to the key what makes the values differ"
            )

    @contextmanager
    def group(self) -> Iterator[None]:
        """Commit rows together: when the block ends, after 256 rows, or with a row after 1 s."""
        self._grouped = True
        try:
            yield
        finally:
            self._grouped = False
            self.flush()

    def flush(self) -> None:
        """Commit the rows that wait; when this method returns, they survive a power failure."""
        if self._waiting:
            try:
                self._with_file(lambda file: file.append(self._waiting))
            except ForetellError:
                self._waiting = {}
                raise
            self._waiting = {}

    def get(self, key: Mapping[str, Any]) -> Row | None:
        """The row with this key, or None."""
        found = self._found(digest_of_key(canonical(key)))
        return found and found[1]

    def __contains__(self, key: Mapping[str, Any]) -> bool:
        return self.get(key) is not None

    def __len__(self) -> int:
        return self._with_file(len) + len(self._waiting)

    def __iter__(self) -> Iterator[Row]:
        self.flush()
        number = 0
        while rows := self._with_file(lambda file: file.after(number)):  # noqa: B023 - called now
            yield from rows
            number += len(rows)

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
        """Commit the rows that wait, and release the run for other writers."""
        if not self._lock.is_locked:
            return
        try:
            self.flush()
            with suppress(ForetellError):  # the rows are complete even if their number is not
                record_rows(self.folder, len(self))
        finally:
            self._file.close()
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _found(self, digest: bytes) -> tuple[bytes, Row] | None:
        if (line := self._waiting.get(digest)) and (parsed := parse_line(line)):
            return line, parsed[1]
        return self._with_file(lambda file: file.find(digest))

    def _with_file(self, use: Callable[[RowFile], Found]) -> Found:
        """What the use of the file returns; the file is rebuilt if it turns out to be damaged."""
        try:
            return use(self._file)
        except DamageError as error:
            self._file.close()
            self._file = self._rebuilt(error)
            return use(self._file)

    def _check(self) -> None:
        """Read all rows if the file is small, or if a reader has found it damaged."""
        check = self.folder / CHECK
        if check.exists() or (self.folder / ROWS).stat().st_size <= SMALL:
            self._with_file(lambda file: deque(file, maxlen=0))
        if check.exists():
            check.unlink()

    def _rebuilt(self, damage: DamageError) -> RowFile:
        count = rebuild(self.folder)
        self.tell(
            f"{damage}; {count} rows remain, the others are computed again, and the damaged file "
            f"is kept as {DAMAGED}"
        )
        return RowFile(self.folder)


class RunRows:
    """The finished rows of a run, oldest first, read from its folder whenever they are iterated.

    They are read a thousand at a time, without the lock of the run and without any change. Raises
    RunStateError if the folder is not a run, or if a row is damaged or missing, since a report must
    not silently be based on fewer rows.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        read_config(self.folder)

    def __iter__(self) -> Iterator[Row]:
        counted, count = read_record(self.folder).rows, 0
        with self._refusing_damage():
            for row in _read(self.folder):
                yield row
                count += 1
        if lacking := _lacking(self.folder, count, counted):
            raise self._damaged(lacking)

    def get(self, key: Mapping[str, Any]) -> Row | None:
        """The row with this key, or None."""
        if not (self.folder / ROWS).exists():
            return next((row for row in self if row["key"] == key), None)
        with self._refusing_damage(), closing(RowFile(self.folder, "read")) as file:
            found = file.find(digest_of_key(canonical(key)))
            return found and found[1]

    @contextmanager
    def _refusing_damage(self) -> Iterator[None]:
        try:
            yield
        except DamageError as damage:
            with suppress(OSError):
                (self.folder / CHECK).touch()
            raise self._damaged(str(damage)) from None

    def _damaged(self, what: str) -> RunStateError:
        said = f"{what}; resume the run to compute it again"
        return RunStateError(said, self.folder, "damaged")


def read_rows(folder: str | os.PathLike[str]) -> list[Row]:
    """All finished rows of a run, oldest first, as `RunRows` reads them."""
    return list(RunRows(folder))


def _read(folder: Path) -> Iterator[Row]:
    """The rows in the file, or in that of an earlier version, which reading does not convert."""
    if os.path.lexists(folder / ROWS):
        with closing(RowFile(folder, "read")) as file:
            yield from file
        return
    lines, damaged = _before(folder)
    if damaged:
        raise DamageError.of(folder / LOG, damaged)
    for line in lines:
        if parsed := parse_line(line):
            yield parsed[1]


def _before(folder: Path) -> tuple[list[bytes], str]:
    """The valid lines of the file of an earlier version, and what else is in it."""
    path = folder / LOG
    try:
        lines, damaged = parse_log(read_file(path))
    except FileNotFoundError:
        return [], ""
    except OSError as error:
        raise ForetellError(f"cannot read {path}: {error.strerror}; check the folder") from None
    more = f" (and {len(damaged) - 1} more)" if len(damaged) > 1 else ""
    return lines, f"{damaged[0]}{more}" if damaged else ""


def _begun(folder: Path) -> str:
    """Write the file, with the rows of an earlier version; return a notice if some are damaged."""
    lines, damaged = _before(folder)
    write_rows(folder, lines)
    return f"{folder / LOG} is damaged: {damaged}, which is computed again" if damaged else ""


def _lacking(folder: Path, there: int, counted: int) -> str:
    """The message about missing rows; empty if none is missing."""
    lost = counted - there
    return f"{folder / ROWS} lacks {lost} of its {counted} rows" if lost > 0 else ""
