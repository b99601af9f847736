"""Import the Python files and packages of users, and attribute their errors to them."""

import importlib
import importlib.util
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from foretell.errors import ForetellError, any_error, complaint_of, shown

__all__ = ["named_in_file", "named_in_package", "without_exit"]

NEIGHBOURS: dict[str, dict[str, ModuleType]] = {}
"""The modules that the files of each folder have imported from it, by folder."""


@contextmanager
def without_exit() -> Iterator[None]:
    """Within the block, `os._exit` raises SystemExit, so that it cannot end the command silently.

    Another thread, and a process that was forked within the block, such as a worker of a
    DataLoader, still end by it.

    >>> with without_exit():
    ...     try:
    ...         os._exit(0)
    ...     except SystemExit as error:
    ...         print(error)
    os._exit(0)
    """
    before, own = os._exit, (os.getpid(), threading.get_ident())

    def raise_instead(status: int) -> NoReturn:
        if (os.getpid(), threading.get_ident()) != own:
            before(status)
        raise SystemExit(f"os._exit({status})")

    os._exit = raise_instead
    try:
        yield
    finally:
        os._exit = before


def named_in_file(text: str) -> Any:
    """The object NAME of `FILE.py:NAME`, or None if the file does not define it; runs the file.

    While it runs, its folder is first on the import path and `sys.argv` contains only the file, as
    with `python FILE.py`.

    Raises ForetellError if the file does not exist or fails.
    """
    path_text, _, name = text.rpartition(":")
    path = Path(path_text)
    if not os.path.isfile(path):
        raise ForetellError(f"there is no file {path}; give the path of a Python file")
    spec = importlib.util.spec_from_file_location(f"foretell_user_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # so that its classes can be unpickled
    try:
        with as_script(path), without_exit():
            spec.loader.exec_module(module)
            return getattr(module, name, None)  # which may run code, too
    except any_error() as error:
        raise ForetellError(f"{path} cannot be run: {complaint_of(error)}") from error


@contextmanager
def as_script(path: Path) -> Iterator[None]:
    """Within the block, imports and arguments are as if Python had been started with the file.

    Afterwards the folder is last on the import path, for modules that are imported on demand.
    Modules with the same name from other folders are hidden.
    """
    folder = str(path.resolve().parent)
    before, argv = list(sys.path), sys.argv
    forget_neighbours(but=folder)
    known = set(sys.modules)
    sys.path[:0], sys.argv = [folder], [str(path)]
    try:
        yield
    finally:
        sys.path[:] = [*(place for place in before if place != folder), folder]
        sys.argv = argv
        new = {name: sys.modules[name] for name in set(sys.modules) - known}
        own = {name: one for name, one in new.items() if lies_in(one, folder)}
        NEIGHBOURS.setdefault(folder, {}).update(own)


def forget_neighbours(but: str) -> None:
    """Hide the modules of other user folders, and restore those of this one."""
    for folder, modules in NEIGHBOURS.items():
        for name, module in modules.items():
            if folder != but and sys.modules.get(name) is module:
                del sys.modules[name]
    sys.modules.update(NEIGHBOURS.get(but, {}))


def lies_in(module: ModuleType, folder: str) -> bool:
    """Whether a module was loaded from a file in the folder or below it."""
    file = getattr(module, "__file__", None)
    return file is not None and Path(folder) in Path(file).resolve().parents


def named_in_package(text: str) -> Any:
    """The object NAME of `PACKAGE.MODULE:NAME`, or None if the module does not define it.

    Raises ForetellError if the module cannot be imported.
    """
    package, _, name = text.partition(":")
    try:
        with without_exit():
            return getattr(importlib.import_module(package), name, None)
    except ImportError as error:
        raise ForetellError(
            f"cannot import {shown(package)} ({complaint_of(error)}); install it"
        ) from error
    except any_error() as error:
        raise ForetellError(
            f"{shown(package)} cannot be imported: {complaint_of(error)}"
        ) from error
