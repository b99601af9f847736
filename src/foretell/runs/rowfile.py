"""The file with the rows of a run: an SQLite database to which rows are only appended.

Each row is stored as a line of `rowlog.py`, whose checksum is verified on every read, with its
number and a digest of its key. The database has a rollback journal and not a write-ahead log, which
requires memory that processes share and therefore fails on network disks. A row that was committed
survives a power failure.
"""

import hashlib
import os
import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from foretell.errors import ForetellError
from foretell.files import new_draft, os_errors_told, replacement, sync_folder, write_all
from foretell.runs.rowlog import Row, parse_line

__all__ = [
    "DAMAGED",
    "LOG",
    "ROWS",
    "DamageError",
    "RowFile",
    "digest_of_key",
    "has_rows",
    "rebuild",
    "write_rows",
]

ROWS, LOG = "rows.sqlite", "rows.jsonl"
"""The file of the rows, and that of earlier versions, a log of lines."""
DAMAGED = "rows.damaged.sqlite"
SCHEMA = (
    "CREATE TABLE rows (number INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, line BLOB NOT NULL)"
)
PAGE, FIXED = 4096, 24
"""The bytes of a page, and those at the beginning of the file that never change."""
STEP = 1000
"""The number of rows that are read at a time, so that a reader never delays a writer for long."""
PATIENCE = 30.0
"""The seconds to wait for another process, which holds the file only while it reads or commits."""
ADVICE = {
    sqlite3.SQLITE_FULL: "No space left on device; free some space and run again",
    sqlite3.SQLITE_IOERR: "disk I/O error; check the disk, free some space and run again",
    sqlite3.SQLITE_BUSY: "another process is using it; wait until it ends and run again",
    **dict.fromkeys(
        (sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN),
        "Permission denied; check the permissions, or choose another --run folder",
    ),
}
"""What has failed and what to do, by SQLite's error code; any other error means damage."""


class DamageError(ForetellError):
    """A file of rows is damaged; the message says which file, and what is wrong with it."""

    @classmethod
    def of(cls, path: Path, what: str) -> "DamageError":
        """The error for this file.

        >>> DamageError.of(Path("rows.sqlite"), "row 3 is missing")
        DamageError('rows.sqlite is damaged: row 3 is missing')
        """
        return cls(f"{path} is damaged: {what}")


def digest_of_key(key: str) -> bytes:
    """The digest by which a row is found, of its key as canonical JSON."""
    return hashlib.sha256(key.encode()).digest()[:16]


class RowFile:
    """An open file of rows.

    All methods raise DamageError if what they read is damaged, and ForetellError if the file cannot
    be used.
    """

    def __init__(self, folder: Path, use: str = "write", patience: float = PATIENCE) -> None:
        self.path, self._use = folder / ROWS, use
        if not self.path.is_file():
            raise ForetellError(f"cannot {use} {self.path}: it is not a file; check the folder")
        with self._errors():
            self._db = connected(self.path, patience=patience)
        try:
            self._begin()
        except BaseException:
            self._db.close()
            raise

    def _begin(self) -> None:
        """Set up the connection, and check what SQLite itself would not."""
        if self._use == "write":
            with os_errors_told(self.path.parent), self.path.open("rb") as file:
                if file.read(FIXED) != head()[:FIXED]:
                    raise DamageError.of(self.path, "its header has changed")
        for setting in ("trusted_schema=OFF", "synchronous=FULL", "journal_mode=PERSIST"):
            self._read(f"PRAGMA {setting}")
        if self._read("SELECT sql FROM sqlite_master") != [(SCHEMA,), (None,)]:
            raise DamageError.of(self.path, "its schema has changed")

    def find(self, digest: bytes) -> tuple[bytes, Row] | None:
        """The row whose key has this digest, as its line and as JSON, or None."""
        found = self._read("SELECT number, key, line FROM rows WHERE key = ?", digest)
        return (found[0][2], self._verified(*found[0])) if found else None

    def after(self, number: int) -> list[Row]:
        """The next rows after the one with this number, oldest first; empty at the end."""
        span = "WHERE number > ? ORDER BY number LIMIT ?"
        found = self._read(f"SELECT number, key, line FROM rows {span}", number, STEP)
        for expected, (there, *_) in enumerate(found, start=number + 1):
            if there != expected:
                raise DamageError.of(self.path, f"row {expected} is missing")
        return [self._verified(*entry) for entry in found]

    def __len__(self) -> int:
        return int(self._read("SELECT max(number) FROM rows")[0][0] or 0)

    def append(self, lines: Mapping[bytes, bytes]) -> None:
        """Commit these lines, given by the digests of their keys, all or none."""
        with self._errors(), self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(INSERT, lines.items())

    def __iter__(self) -> Iterator[Row]:
        """All rows, oldest first; raises DamageError unless the whole database is intact."""
        (said,), *_ = self._read("PRAGMA integrity_check(1)")
        if said != "ok":
            raise DamageError.of(self.path, str(said).replace("\n", " "))
        number = 0
        while rows := self.after(number):
            yield from rows
            number += len(rows)

    def close(self) -> None:
        """Close the file and delete its journal."""
        with suppress(sqlite3.Error):
            if self._use == "write":
                self._db.execute("PRAGMA journal_mode=DELETE").fetchall()
        self._db.close()

    def _read(self, query: str, *values: Any) -> list[Any]:
        with self._errors():
            return self._db.execute(query, values).fetchall()

    def _verified(self, number: int, digest: object, line: object) -> Row:
        """The row in an entry of the database."""
        parsed = parse_line(line) if isinstance(line, bytes) else None
        if parsed is None or digest_of_key(parsed[0]) != digest:
            raise DamageError.of(self.path, f"row {number} is damaged")
        return parsed[1]

    def _errors(self) -> AbstractContextManager[None]:
        return sqlite_errors_told(self.path, self._use)


@contextmanager
def sqlite_errors_told(path: Path, use: str = "write") -> Iterator[None]:
    """Convert an error of SQLite to DamageError, or to ForetellError with advice."""
    try:
        yield
    except (sqlite3.Error, OverflowError) as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
        if code not in ADVICE:
            raise DamageError.of(path, str(error)) from error
        if use == "write":
            require_writable(path)
        raise ForetellError(f"cannot {use} {path}: {ADVICE[code]}") from error


def require_writable(path: Path) -> None:
    """Raise ForetellError with the system's reason, which SQLite does not tell, if there is one."""
    with os_errors_told(path):
        draft, file = new_draft(path)
        try:
            write_all(file, bytes(PAGE))
            os.fsync(file)
        finally:
            os.close(file)
            draft.unlink()


INSERT = "INSERT OR IGNORE INTO rows (key, line) VALUES (?, ?)"


def connected(path: Path, options: str = "", patience: float = 0.0) -> sqlite3.Connection:
    """A connection to an existing file, for any threads of this process, one at a time."""
    uri = f"{path.absolute().as_uri()}?mode=rw{options}"
    return sqlite3.connect(uri, patience, isolation_level=None, check_same_thread=False, uri=True)


def alone(path: Path) -> sqlite3.Connection:
    """A connection to a file that no other process uses."""
    return connected(path, "&nolock=1")


def has_rows(folder: Path) -> bool:
    """Whether the folder has, or may have had, a row."""
    if not (folder / ROWS).exists():
        before = folder / LOG
        return before.exists() and before.stat().st_size > 0
    try:
        with closing(RowFile(folder, "read", patience=0.0)) as file:
            return len(file) > 0
    except ForetellError:  # it is damaged, or a writer is committing
        return True


def write_rows(folder: Path, lines: Iterable[object]) -> int:
    """Write the file anew with the valid ones of these lines; return how many there are.

    The file is written completely or not at all, as by `write_atomically`.
    """
    path = folder / ROWS
    with replacement(path) as (draft, _), sqlite_errors_told(path), closing(alone(draft)) as db:
        for setting in (f"page_size={PAGE}", "journal_mode=OFF", "synchronous=OFF"):
            db.execute(f"PRAGMA {setting}").fetchall()
        parsed = ((parse_line(line), line) for line in lines if isinstance(line, bytes))
        with db:
            db.execute(SCHEMA)
            db.execute("BEGIN")
            db.executemany(INSERT, ((digest_of_key(one[0]), line) for one, line in parsed if one))
        return int(db.execute("SELECT count(*) FROM rows").fetchone()[0])


def rebuild(folder: Path) -> int:
    """Write a damaged file anew with the rows that can be read; return how many there are.

    The damaged file is kept as `DAMAGED`, with a valid header.
    """
    aside = folder / DAMAGED
    with os_errors_told(folder):
        shutil.copyfile(folder / ROWS, aside)
        with aside.open("r+b") as file:
            file.write(head())
        (folder / f"{ROWS}-journal").unlink(missing_ok=True)  # SQLite would apply it to the new one
        sync_folder(folder)
    with closing(alone(aside)) as db:
        return write_rows(folder, readable(db))


def readable(db: sqlite3.Connection) -> Iterator[object]:
    """The lines that can be read: those before the first damaged page and after the last one."""
    lines = "SELECT number, line FROM rows NOT INDEXED"
    try:
        for _, line in db.execute(f"{lines} ORDER BY number"):
            yield line
    except sqlite3.DatabaseError:
        first = None
        with suppress(sqlite3.DatabaseError):
            for number, _ in db.execute(f"{lines} ORDER BY number DESC"):
                first = number
        with suppress(sqlite3.DatabaseError):
            for _, line in db.execute(f"{lines} WHERE number >= ? ORDER BY number", (first,)):
                yield line


def head() -> bytes:
    """The first page of the file, without what changes in it: the header and the schema."""
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute(f"PRAGMA page_size={PAGE}")
        db.execute(SCHEMA)
        page = db.serialize()[:PAGE]
    return page[:92] + b"\xff" * 4 + page[96:]  # so that SQLite measures the file itself
