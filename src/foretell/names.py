"""Names as written in a shell, and what they name: settings, users' objects, extras."""

import importlib
import importlib.util
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from foretell.errors import ForetellError

__all__ = ["extra", "lazily", "named_in_file", "named_in_package", "one_line", "parse_spec"]


def extra(module: str, name: str) -> ModuleType:
    """The module, which the extra `name` of foretell installs.

    Raises ForetellError, saying what to install, where it is absent.

    >>> extra("timm.nowhere", "timm")
    Traceback (most recent call last):
    foretell.errors.ForetellError: 'timm.nowhere' can't be imported (No module named ...);
    pip install 'foretell[timm]'
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        reason = " ".join(str(error).split())
        raise ForetellError(
            f"{module!r} can't be imported ({reason}); pip install 'foretell[{name}]'"
        ) from error


def lazily(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """A package's `__getattr__` and `__dir__`: each name is imported when it is first asked for.

    `homes` gives the module of the package that defines a name, or that is called so (PEP 562).
    """

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = importlib.import_module(f"{package}.{homes[name]}")
        value = module if homes[name] == name else getattr(module, name)
        setattr(sys.modules[package], name, value)
        return value

    return get, lambda: sorted(homes)


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


def parse_spec(text: str) -> tuple[str, dict[str, Any]]:
    """The name before the question mark, and the settings behind it.

    Values are read as JSON where they are JSON, as text otherwise.

    >>> parse_spec("nb201?channels=8,variant=reference")
    ('nb201', {'channels': 8, 'variant': 'reference'})
    >>> parse_spec("digits")
    ('digits', {})
    """
    name, _, rest = text.partition("?")
    settings: dict[str, Any] = {}
    for item in filter(None, rest.split(",")):
        key, equals, value = item.partition("=")
        if not equals or not key:
            raise ForetellError(
                f"{item!r} in {text!r} is no setting; write name?key=value,key=value"
            )
        settings[key] = _read(value)
    return name, settings


def _read(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return {"True": True, "False": False, "None": None}.get(value, value)
