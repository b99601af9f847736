"""The folder of a run and its configuration `run.json`, in which only a budget may grow."""

import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock

from foretell.errors import ForetellWarning, RunStateError
from foretell.files import delete_drafts, os_errors_told, read_file
from foretell.runs.kept import (
    KEPT,
    Record,
    damaged,
    digest_of,
    keep,
    kept,
    read_record,
    record_anew,
)
from foretell.runs.rowfile import has_rows
from foretell.runs.rowlog import canonical

__all__ = [
    "COMMANDS",
    "LOCK",
    "RUN",
    "acquired",
    "has_results",
    "locked",
    "read_config",
    "refuse_foreign",
    "settle",
]

FORMAT = 1
RUN, LOCK = "run.json", ".lock"
MEND = "repeat the command that made it, or give another --run folder"


def read_config(folder: str | os.PathLike[str], job: str = "") -> dict[str, Any]:
    """The configuration that made the run. Warns if the folder records no digests.

    Raises RunStateError if the folder is not a run, or if `job` is given and the run is of another
    job.
    """
    config = unwarned(folder := Path(folder), job)
    if RUN not in read_record(folder).files:
        warnings.warn(
            f"{folder} was made by an earlier version, which recorded no checksums, so damage to "
            "its files cannot be detected; repeat the command that made it to record them",
            ForetellWarning,
            stacklevel=2,
        )
    return config


def unwarned(folder: Path, job: str = "") -> dict[str, Any]:
    """The same as `read_config`, but without a warning if the files cannot be checked."""
    wanted = f" of `{COMMANDS[job]}`" if job else ""
    try:
        config = configuration(kept(folder, RUN, MEND), folder)
    except FileNotFoundError:
        said = f"{folder} is not a run: it has no {RUN}; give the folder of a run{wanted}"
        raise RunStateError(said, folder, "not a run") from None
    if job and (made := config.get("job")) != job:
        kind = f"of `{COMMANDS[made]}`" if made in COMMANDS else f"of kind {made!r}"
        said = f"{folder} is a run {kind}; give the folder of a run{wanted}"
        raise RunStateError(said, folder, "not a run")
    return config


COMMANDS = {
    "search": "foretell search",
    "study": "foretell study",
    "simulation": "foretell study search",
}
"""The command that runs each job."""


def configuration(content: bytes, folder: Path) -> dict[str, Any]:
    """The configuration in run.json. Raises RunStateError if it is damaged or in another format."""
    try:
        run = json.loads(content)
        version, config = run["format"], run["config"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise damaged(folder / RUN, folder, "restore it or give another --run folder") from None
    if version != FORMAT or not isinstance(config, dict):
        raise RunStateError(
            f"{folder} is a run in format {version!r}, but this version of foretell reads format "
            f"{FORMAT}; use the version that wrote it, or give another --run folder",
            folder,
            "other version",
        )
    if not FIELDS.get(str(config.get("job")), set()) <= names_in(config):
        raise damaged(folder / RUN, folder, MEND)
    return config


SPACE, TABLE = {"space.name", "space.settings"}, {"table.name", "table.checksum"}
SCORED = {"seed", "data.name", "data.fingerprint"}
FIELDS = {
    "search": {*SPACE, *SCORED, "batch.size", "batch.fingerprint", "by", "searcher", "pool"}
    | {"trainings", "training"},
    "study": {*SPACE, *TABLE, *SCORED, "batch_size", "loss"},
    "simulation": {*SPACE, *TABLE, "by"}
    | {f"scores.{name}" for name in ("fingerprint", "count", "data.name", "seed", "seconds")},
}
"""The settings that the configuration of each job must have. If one is missing, run.json is
damaged; runs without a digest cannot detect this otherwise."""


def settle(path: Path, config: Mapping[str, Any], growing: Sequence[str] = ()) -> str:
    """Write run.json, or compare it if it exists. Returns a notice if a file was damaged.

    If the run is from an earlier version that recorded no checksums, its files are recorded as they
    are. If the only differences are settings among `growing` that are larger now, they are changed.
    A run without results, such as one that was stopped immediately, gets the new configuration.
    Raises RunStateError if the run has another configuration and results.
    """
    for below in (path, path / "networks"):
        delete_drafts(below, ".tmp")  # the suffix of drafts in earlier versions
    earlier = (path / RUN).exists() and not (path / KEPT).exists()
    notice = settled(path, config, growing)
    if earlier:
        record_anew(path)
    return notice


def settled(path: Path, config: Mapping[str, Any], growing: Sequence[str]) -> str:
    """Apply `settle` to run.json and to the record of the files."""
    text = json.dumps({"format": FORMAT, "config": config}, indent=2, allow_nan=False)
    content = f"{text}\n".encode()
    try:
        record = read_record(path)
    except RunStateError:
        if (path / RUN).exists():
            require_equal(path, configuration(read_file(path / RUN), path), config)
        record_anew(path)
        return f"{path / KEPT} was damaged and has been written again"
    if not (path / RUN).exists():
        keep(path, RUN, content)
        return ""
    try:
        before = unwarned(path)
        if has_grown(before, config, growing):
            keep(path, RUN, content)
            return ""
        require_equal(path, before, config)
    except RunStateError as error:
        if error.reason == "other settings" and not has_results(path):
            begin_anew(path, record, content)
            return ""
        if error.reason != "damaged" or digest_of(content) not in record.files.get(RUN, ()):
            raise
        keep(path, RUN, content)
        return f"{path / RUN} was damaged and has been written again"
    return ""


def has_results(path: Path) -> bool:
    """Whether the run has, or may have had, a row."""
    if not os.path.isdir(path):
        return False
    try:
        return has_rows(path) or read_record(path).rows > 0
    except RunStateError:  # it is damaged
        return True


def begin_anew(path: Path, record: Record, content: bytes) -> None:
    """Write another configuration for a run without results, and delete its other files."""
    for name in record.files:
        if name != RUN:
            (path / name).unlink(missing_ok=True)
    keep(path, RUN, content)


def has_grown(before: Mapping[str, Any], now: Mapping[str, Any], growing: Sequence[str]) -> bool:
    """Whether the only differences are settings among `growing` that are larger now or in only one.

    >>> has_grown({"seed": 0, "trainings": 6}, {"seed": 0, "trainings": 9}, ["trainings"])
    True
    """
    grown = [
        name
        for name in growing
        if before.get(name) != now.get(name)
        and (name not in before or name not in now or now[name] > before[name])
    ]
    same = [{k: v for k, v in one.items() if k not in grown} for one in (before, now)]
    return bool(grown) and flat(same[0]) == flat(same[1])


def require_equal(path: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise RunStateError that names the differences, unless the configurations are equal."""
    if before.get("job") != now.get("job"):
        raise RunStateError(
            f"{path} is a run of another kind ({before.get('job')}); give another --run folder",
            path,
            "other settings",
        )
    old, new = flat(before), flat(now)
    differing = [
        f"{name} was {short(old.get(name))}, now {short(new.get(name))}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]
    more = f"; and {len(differing) - MOST} more" if len(differing) > MOST else ""
    if differing:
        raise RunStateError(
            f"{path} was made with other settings ({'; '.join(differing[:MOST])}{more}); "
            "give another --run folder, or the same settings as before",
            path,
            "other settings",
        )


MOST = 4
"""The maximum number of settings that an error message names."""


def flat(config: Mapping[str, Any], above: str = "") -> dict[str, str]:
    """Every setting as JSON text, by its dotted name.

    >>> flat({"seed": 0, "train": {"lr": 0.1}})
    {'seed': '0', 'train.lr': '0.1'}
    """
    found: dict[str, str] = {}
    for name, value in config.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{above}{name}.")
        else:
            found[f"{above}{name}"] = canonical(value)
    return found


def names_in(config: Mapping[str, Any]) -> set[str]:
    """The dotted names of all settings and groups of settings.

    >>> sorted(names_in({"seed": 0, "train": {"lr": 0.1}}))
    ['seed', 'train', 'train.lr']
    """
    parts = [name.split(".") for name in flat(config)]
    return {".".join(one[:end]) for one in parts for end in range(1, len(one) + 1)}


def short(text: str | None) -> str:
    """The text of a setting as shown in an error message."""
    if text is None:
        return "absent"
    return text if len(text) <= 60 else f"{text[:57]}..."


def refuse_foreign(path: Path) -> None:
    """Raise RunStateError if the folder has other files, which a run must not be mixed with."""
    if (path / RUN).exists():
        return
    for entry in sorted(path.iterdir()):
        if not entry.name.startswith((LOCK, KEPT, f".{RUN}.", f".{KEPT}.")):
            raise RunStateError(
                f"{path} is not a run: it has no {RUN} but contains {entry.name}; "
                "give a new or empty --run folder",
                path,
                "not a run",
            )


def acquired(path: Path) -> filelock.BaseFileLock:
    """The acquired lock of a run folder. Raises RunStateError if another process holds it."""
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
    """Within the block, be the only writer of the files of a run other than its rows.

    Raises RunStateError if another process is writing, and ForetellError if it cannot be written.
    """
    path = Path(folder)
    with os_errors_told(path):
        lock = acquired(path)
    try:
        yield
    finally:
        lock.release()
