"""The files of a run besides its rows: they are written atomically and verified when read.

`kept.json` in the run folder records the SHA-256 digest of each file except the rows, and the
number of rows when the run was last closed, to detect changed bytes and missing rows at the end.
Before a file is changed, its new digest is recorded in addition to the old one, so the record is
valid at any instant, even if the process is killed.

Run folders written before `kept.json` existed have no digests: they are read with a warning and
without this check, until a command that writes to the folder records its files as they are.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from foretell.errors import ForetellError, RunStateError
from foretell.files import read_file, write_atomically

__all__ = [
    "KEPT",
    "UNFINISHED",
    "Record",
    "damaged",
    "keep",
    "keep_pair",
    "kept",
    "read_record",
    "record_anew",
    "record_rows",
]

KEPT = "kept.json"
AGAIN = "repeat the command that made it"
READS = 3
"""The number of attempts to read a file, since a writer may change it before its record is read."""


@dataclass(frozen=True)
class Record:
    """The content of `kept.json`."""

    files: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The valid digests of each file by name; there are two while a file is being changed."""
    rows: int = 0
    """The number of rows when the run was last closed."""


def keep(folder: Path, name: str, content: bytes) -> None:
    """Write a file of a run and record it; the caller must be the only writer of the run.

    Raises ForetellError if it cannot be written; the previous file is then unchanged.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     keep(Path(folder), "a.pt", b"new")
    ...     kept(Path(folder), "a.pt")
    b'new'
    """
    path, digest, record = folder / name, digest_of(content), read_record(folder)
    final = with_file(record, name, digest)
    present = path.read_bytes() if path.is_file() else None
    if present != content:
        before = record.files.get(name) or (() if present is None else (digest_of(present),))
        if record != (both := with_file(record, name, *before, digest)):
            write_record(folder, record := both)
        write_atomically(path, content)
    if record != final:
        write_record(folder, final)


def keep_pair(folder: Path, weights: tuple[str, bytes], about: tuple[str, bytes]) -> None:
    """Write the weights of a network and the file that describes them, each as (name, content).

    At no instant does the folder contain weights with the description of another network.
    """
    described = folder / about[0]
    if described.is_file() and described.read_bytes() != about[1]:
        described.unlink()
    keep(folder, *weights)
    keep(folder, *about)


def kept(folder: Path, name: str, mend: str = AGAIN) -> bytes:
    """The content of a file of a run.

    Raises FileNotFoundError if it does not exist, and RunStateError if it is damaged; `mend` is the
    part of the message that says how to restore it.
    """
    path = folder / name
    for _ in range(READS):
        record = read_record(folder)
        try:
            content = read_file(path)
        except (FileNotFoundError, NotADirectoryError):
            raise FileNotFoundError(path) from None
        except OSError as error:
            raise ForetellError(f"cannot read {path}: {error.strerror}; {mend}") from error
        if name not in record.files or digest_of(content) in record.files[name]:
            return content
    raise damaged(path, folder, mend)


def read_record(folder: Path) -> Record:
    """The record of the files of a run; empty for a folder without a record.

    Raises RunStateError if the record is damaged.
    """
    try:
        content = read_file(folder / KEPT)
    except (FileNotFoundError, NotADirectoryError):
        return Record()
    except OSError as error:
        raise ForetellError(f"cannot read {folder / KEPT}: {error.strerror}; {AGAIN}") from error
    if (record := parsed(content)) is None:
        raise damaged(folder / KEPT, folder, AGAIN)
    return record


def record_rows(folder: Path, count: int) -> None:
    """Record the number of rows of the run."""
    if (record := read_record(folder)).rows != count:
        write_record(folder, replace(record, rows=count))


def record_anew(folder: Path) -> None:
    """Record the files as they are, after the record itself was damaged."""
    names = [path for pattern in KINDS for path in sorted(folder.glob(pattern))]
    files = {
        path.relative_to(folder).as_posix(): (digest_of(path.read_bytes()),)
        for path in names
        if path.is_file() and path.name != KEPT and not path.name.endswith(UNFINISHED)
    }
    write_record(folder, Record(files))


KINDS = ("*.json", "*.parquet", "*.pt", "networks/*.pt")
UNFINISHED = ".unfinished.pt"
"""The suffix of a checkpoint, which contains its own digest."""


def damaged(path: Path, folder: Path, mend: str) -> RunStateError:
    """The error for a damaged file."""
    return RunStateError(f"{path} is damaged; {mend}", folder, "damaged")


def digest_of(content: bytes) -> str:
    """The SHA-256 digest, as `sha256sum` prints it."""
    return hashlib.sha256(content).hexdigest()


def with_file(record: Record, name: str, *digests: str) -> Record:
    """The record with these digests of a file."""
    return replace(record, files={**record.files, name: tuple(dict.fromkeys(digests))})


def write_record(folder: Path, record: Record) -> None:
    """Write `kept.json`."""
    write_atomically(folder / KEPT, written(record))


def written(record: Record) -> bytes:
    """A record as JSON, starting with its own digest.

    >>> parsed(written(Record({"a.pt": ("0f",)}, rows=3)))
    Record(files={'a.pt': ('0f',)}, rows=3)
    """
    said = {"files": record.files, "rows": record.rows}
    body = json.dumps(said, indent=1, sort_keys=True).encode()
    return b'{\n "sha256": "%b",%b\n' % (digest_of(body).encode(), body[1:])


def parsed(content: bytes) -> Record | None:
    """The record, or None if the content is not byte for byte what `written` returns for it."""
    try:
        said = json.loads(content)
        files = {str(name): tuple(map(str, digests)) for name, digests in said["files"].items()}
        record = Record(files, int(said["rows"]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return record if written(record) == content else None
