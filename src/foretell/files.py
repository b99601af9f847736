"""Atomic file writes: neither a kill nor a power failure leaves a partial file."""

import errno
import fcntl
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from foretell.errors import ForetellError


def write_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Write `content` to `path` completely or not at all, even if the power fails.

    Raises ForetellError if it cannot be written; an existing file is then unchanged.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     write_atomically(f"{folder}/a.txt", b"new")
    ...     Path(folder, "a.txt").read_bytes()
    b'new'
    """
    with replacement(Path(path)) as (_, file):
        write_all(file, content)


@contextmanager
def replacement(path: Path) -> Iterator[tuple[Path, int]]:
    """A draft and its handle; when the block ends, it is on the disk in place of `path`.

    If the block fails, the draft is deleted. Raises ForetellError if it cannot be written.
    """
    with os_errors_told(path):
        delete_drafts(path.parent)
        draft, file = new_draft(path)
        try:
            try:
                yield draft, file
                os.fsync(file)
                os.replace(draft, path)
            finally:
                os.close(file)
        except BaseException:
            with suppress(OSError):
                draft.unlink()
            raise
        sync_folder(path.parent)


def read_file(path: str | os.PathLike[str]) -> bytes:
    """The content of a file. Raises OSError if it cannot be read.

    So it does for a pipe or a device, which could have no writer or no end.
    """
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        return file.read()


def read_text(path: str | os.PathLike[str], most: int = 2**24) -> str:
    """The content of a UTF-8 file or of a pipe, as in `@<(ls)`; a pipe without a writer is empty.

    Raises OSError if it cannot be read or has more than `most` bytes, as a device without an end
    has, and UnicodeDecodeError if it is not UTF-8.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # do not wait until a pipe has a writer
    os.set_blocking(handle, True)
    with open(handle, "rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return content.decode("utf-8-sig")


@contextmanager
def new_folder(path: Path) -> Iterator[None]:
    """Make the folder and its parents; if the block fails, remove those that are still empty.

    Raises OSError if the folder cannot be made.
    """
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for folder in made:
            with suppress(OSError):  # it was not made, or is not empty
                folder.rmdir()
        raise


DRAFT = ".foretell.tmp"
"""The suffix of a temporary file, which is renamed when it is complete."""


def new_draft(path: Path) -> tuple[Path, int]:
    """A temporary file in the folder of `path`, and its handle, which is locked by the writer."""
    while True:
        draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}{DRAFT}")
        file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        with suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        if draft.exists():  # otherwise another writer deleted it as an orphan before it was locked
            return draft, file
        os.close(file)


def file_name(text: str) -> str:
    """A safe file name made from any text, such as the name of a column.

    Safe text is returned unchanged. Otherwise only letters, digits, dots, dashes and underscores
    are kept, and a digest is appended so that different texts have different names. The result is
    never a path, hidden, or longer than 120 characters.

    >>> file_name("scatter-cifar10_test_200"), file_name("table-acc/top1")
    ('scatter-cifar10_test_200', 'table-acc-top1-6ad2ebfc')
    >>> file_name("../../etc/passwd")
    'etc-passwd-3754d6cb'
    """
    kept = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip(".-")[:LONGEST]
    if kept and kept == text:
        return text
    return f"{kept or 'unnamed'}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


LONGEST = 110


def delete_drafts(folder: Path, ending: str = DRAFT) -> None:
    """Delete the temporary files of killed writers; those of running writers are kept."""
    for draft in folder.glob(f".*{ending}"):
        with suppress(OSError):  # locked, just finished, or deleted by another process
            file = os.open(draft, os.O_RDONLY | os.O_NONBLOCK)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                draft.unlink()
            finally:
                os.close(file)


def write_all(file: int, data: bytes) -> None:
    """Write all of `data` to an open file."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]


def sync_folder(folder: Path) -> None:
    """Make new and renamed files of a folder survive a power failure."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def os_errors_told(path: Path, option: str = "--run folder") -> Iterator[None]:
    """Convert an OSError while writing `path` to a ForetellError with advice.

    `option` names the option with the folder.
    """
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        way_out = "free some space and run again" if full else f"choose another {option}"
        raise ForetellError(f"cannot write {path}: {error.strerror}; {way_out}") from error
