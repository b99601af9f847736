"""Download the official file of a benchmark: whole or not at all, and continued if interrupted.

While a file is incomplete, it is called `FILE.part`, and `FILE.part.json` identifies the version on
the server, so that two versions are never mixed. The SHA-256 of the complete file must be the one
that the authors publish. If they publish none, it is recorded in `FILE.sha256` when the file is
downloaded for the first time, and must be the same whenever it is downloaded again.
"""

import hashlib
import json
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.client import HTTPException, HTTPResponse
from pathlib import Path

import filelock

from foretell.errors import ForetellError, unknown_name
from foretell.files import os_errors_told, sync_folder, write_atomically
from foretell.progress import ProgressCallback, Tally
from foretell.tables.official import BY_HAND, OFFICIAL, Official

__all__ = ["fetch", "official", "record_of"]

MEGABYTE = 1_000_000
TIMEOUT = 60
"""The number of seconds without an answer after which the connection counts as broken."""
CONTINUES = "the same command continues the download"
FOLDER = "--to folder"


def official(name: str) -> Official:
    """The official file of a benchmark. Raises ForetellError if it cannot be downloaded."""
    if name in BY_HAND:
        raise ForetellError(
            f"the files of {name} cannot be downloaded by a program; {BY_HAND[name]} says where "
            "they are, and docs/tables.md how to import them"
        )
    if name not in OFFICIAL:
        raise unknown_name("official file", name, [*OFFICIAL, *BY_HAND])
    return OFFICIAL[name]


def fetch(
    wanted: Official, folder: Path, progress: ProgressCallback | bool | None = None
) -> tuple[Path, str]:
    """Download a file into the folder; return its path and its SHA-256.

    A file that is already there is only verified. `progress` counts megabytes as "fetch".

    Raises ForetellError if the download fails, after which the same call continues it, and if the
    file is not the one that the authors publish, or that was downloaded first.
    """
    path = folder / wanted.file
    with os_errors_told(path, FOLDER):
        folder.mkdir(parents=True, exist_ok=True)
    with alone(path):
        if path.exists():
            return path, verified(path, path, wanted)
        part = path.with_name(f"{path.name}.part")
        download(wanted.address, part, progress)
        digest = verified(part, path, wanted)
        with os_errors_told(path, FOLDER):
            os.replace(part, path)
            version_of(part).unlink(missing_ok=True)
            sync_folder(folder)
        return path, digest


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """No other process downloads the file. Raises ForetellError if one does."""
    lock = filelock.FileLock(path.with_name(f".{path.name}.lock"), timeout=0)
    with os_errors_told(path, FOLDER):
        try:
            lock.acquire()
        except filelock.Timeout:
            said = f"another process is downloading {path}; wait until it has finished"
            raise ForetellError(said) from None
    try:
        yield
    finally:
        lock.release()


def version_of(part: Path) -> Path:
    """The file that identifies the version of the incomplete file."""
    return part.with_name(f"{part.name}.json")


def record_of(path: Path) -> Path:
    """The file with the digest of the first download, in the format of `sha256sum`."""
    return path.with_name(f"{path.name}.sha256")


def download(address: str, part: Path, progress: ProgressCallback | bool | None) -> None:
    """Download what is missing of the incomplete file."""
    version = read_version(part)
    start = part.stat().st_size if version and part.exists() else 0
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers |= {"Range": f"bytes={start}-", "If-Range": version}
    request = urllib.request.Request(address, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            require_secure(address, answer.url)
            receive(answer, part, start if continues(answer, start) else 0, progress)
    except urllib.error.HTTPError as error:
        if error.code == 416:
            if error.headers.get("Content-Range") == f"bytes */{start}":
                return  # it is complete
            version_of(part).unlink(missing_ok=True)  # so that it is downloaded anew
        raise broken(address, f"HTTP {error.code} {error.reason}") from error
    except (OSError, HTTPException) as error:
        raise broken(address, str(getattr(error, "reason", "") or error)) from error


def broken(address: str, why: str) -> ForetellError:
    """The error for a download that stopped."""
    return ForetellError(f"{address} cannot be downloaded ({why}); {CONTINUES}")


def require_secure(asked: str, answered: str) -> None:
    """Raise ForetellError if a server redirected from https to an address that is not.

    >>> require_secure("https://a.org/x", "http://a.org/x")
    Traceback (most recent call last):
    foretell.errors.ForetellError: https://a.org/x redirects to http://a.org/x, which is not
    encrypted; nothing was downloaded, so report it to the authors
    """
    if asked.startswith("https:") and not answered.startswith("https:"):
        raise ForetellError(
            f"{asked} redirects to {answered}, which is not encrypted; nothing was downloaded, so "
            "report it to the authors"
        )


def continues(answer: HTTPResponse, start: int) -> bool:
    """Whether the server sends the rest of the incomplete file rather than all of it."""
    return answer.status == 206 and answer.headers.get("Content-Range", "").startswith(
        f"bytes {start}-"
    )


def read_version(part: Path) -> str:
    """What identifies the version of the incomplete file; empty if nothing does."""
    try:
        return str(json.loads(version_of(part).read_text("utf-8"))["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def version_in(answer: HTTPResponse) -> str:
    """What identifies the version of the file on the server: a strong ETag, or the date."""
    tag = answer.headers.get("ETag", "")
    dated = answer.headers.get("Last-Modified", "")
    return dated if not tag or tag.startswith("W/") else tag


def receive(
    answer: HTTPResponse, part: Path, start: int, progress: ProgressCallback | bool | None
) -> None:
    """Write what the server sends to the incomplete file, from this byte on."""
    length = answer.headers.get("Content-Length")
    missing = None if length is None else int(length)
    require_space(part, missing or 0)
    total = None if missing is None else -(-missing // MEGABYTE)
    blocks = iter(partial(answer.read, MEGABYTE), b"")
    with os_errors_told(part, FOLDER):
        content = json.dumps({"version": version_in(answer)}).encode()
        write_atomically(version_of(part), content)
        file = part.open("ab" if start else "wb")
    with file:
        for block in Tally(progress).over("fetch", blocks, total):
            with os_errors_told(part, FOLDER):
                file.write(block)
        file.flush()
        os.fsync(file.fileno())
    received = part.stat().st_size - start
    if missing is not None and received < missing:
        raise broken(answer.url, f"the connection broke after {start + received:,} bytes")


def require_space(part: Path, size: int) -> None:
    """Raise ForetellError if the disk has not enough space for the rest of the file."""
    free = shutil.disk_usage(part.parent).free
    if size > free:
        raise ForetellError(
            f"{part.parent} has {free / 1e9:.1f} GB free, and {size / 1e9:.1f} GB are missing; "
            f"free some space, or choose another {FOLDER}"
        )


def verified(at: Path, path: Path, wanted: Official) -> str:
    """The SHA-256 of the file, which is recorded if it is the first one.

    Raises ForetellError if it is not the expected one; an incomplete file is then deleted.
    """
    with at.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    recorded = "" if wanted.sha256 else read_record(path)
    expected = wanted.sha256 or recorded
    if digest == expected:
        return digest
    if not expected:
        write_atomically(record_of(path), f"{digest}  {path.name}\n".encode())
        return digest
    if at != path:
        at.unlink()
        version_of(at).unlink(missing_ok=True)
    raise ForetellError(mismatch(wanted, path, digest, expected, deleted=at != path))


def read_record(path: Path) -> str:
    """The digest of the file that was downloaded first; empty if there is none."""
    try:
        return record_of(path).read_text("utf-8").partition(" ")[0]
    except FileNotFoundError:
        return ""


def mismatch(wanted: Official, path: Path, digest: str, expected: str, *, deleted: bool) -> str:
    """What to say about a file that is not the expected one."""
    where = f"the file at {wanted.address}" if deleted else str(path)
    gone = "; it was deleted" if deleted else ""
    if wanted.sha256:
        then = "try again later" if deleted else f"delete {path} and download it again"
        return f"{where} has the SHA-256 {digest}, but {wanted.page} says {expected}{gone}; {then}"
    return (
        f"{where} has the SHA-256 {digest}, but the file that was downloaded first had {expected}"
        f"{gone}; delete {record_of(path)} to accept another file"
    )
