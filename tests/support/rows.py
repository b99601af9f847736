"""Read and damage the rows of a run without the code of the store."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from foretell.runs.kept import record_rows
from foretell.runs.rowfile import LOG, ROWS, write_rows


def lines_of(folder: Path) -> list[bytes]:
    """The stored lines, oldest first; of a run of an earlier version, those of its log."""
    if not (folder / ROWS).exists():
        path = folder / LOG
        return path.read_bytes().splitlines() if path.exists() else []
    with closing(sqlite3.connect(folder / ROWS)) as db:
        return [line for (line,) in db.execute("SELECT line FROM rows ORDER BY number")]


def put_lines(folder: Path, lines: Iterable[bytes]) -> None:
    """Let the run have only these rows, as after a kill, which leaves their number unrecorded."""
    write_rows(folder, lines)
    record_rows(folder, 0)


def damage_row(folder: Path, number: int, line: object) -> None:
    """Replace the stored line of a row, counted from 1."""
    with closing(sqlite3.connect(folder / ROWS)) as db, db:
        db.execute("PRAGMA synchronous = OFF")
        db.execute("UPDATE rows SET line = ? WHERE number = ?", (line, number))
