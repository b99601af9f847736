"""Objects of the user's own code, named as in a shell: FILE.py:NAME or PACKAGE.MODULE:NAME."""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from foretell.errors import ForetellError

__all__ = ["named_in_file", "named_in_package", "one_line"]


def named_in_file(text: str) -> Any:
    """What `FILE.py:NAME` names, or None if the file does not have it; the file is run.

    Raises ForetellError if there is no such file, or it fails.
    """
    path_text, _, name = text.rpartition(":")
    path = Path(path_text)
    if not path.is_file():
        raise ForetellError(f"there is no file {path}; give the path of a Python file")
    spec = importlib.util.spec_from_file_location(f"foretell_user_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # so that its classes can be found again by name
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ForetellError(f"{path} cannot be run: {one_line(error)}") from error
    return getattr(module, name, None)


def named_in_package(text: str) -> Any:
    """What `PACKAGE.MODULE:NAME` names, or None if the module does not have it.

    Raises ForetellError if it cannot be imported.
    """
    package, _, name = text.partition(":")
    return getattr(imported(package), name, None)


def imported(package: str) -> ModuleType:
    """The module of that name."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ForetellError(f"cannot import {package!r} ({one_line(error)}); install it") from error
    except Exception as error:
        raise ForetellError(f"{package!r} cannot be imported: {one_line(error)}") from error


def one_line(error: Exception) -> str:
    """The kind of an error and its message, on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
