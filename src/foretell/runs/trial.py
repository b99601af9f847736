"""The trial before a run writes its first file, so that a refused run leaves nothing behind."""

import errno
import os
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path

from foretell.executors.processes import completed
from foretell.files import os_errors_told
from foretell.runs.config import has_results, refuse_foreign

__all__ = ["try_out"]


def require_usable(path: Path) -> None:
    """Raise ForetellError if the path cannot be a run folder, or contains other files."""
    with os_errors_told(path):
        there = next(folder for folder in (path, *path.parents) if folder.exists())
        if not there.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(there))
        if there == path:
            refuse_foreign(path)


def try_out(
    trial: Callable[[], Callable[[], object]], executor: Executor, folder: str | os.PathLike[str]
) -> None:
    """Run the trial of one network, unless the folder already contains results.

    Raises ForetellError if the folder cannot be used, if the data, the loss or the device do not
    fit the networks, or if the executor does not run tasks. If the process of the trial dies, this
    is ignored, since the other networks may be smaller.
    """
    path = Path(folder)
    require_usable(path)
    if not has_results(path):
        for _ in completed(executor, {"trial": trial()}, 1):
            pass
