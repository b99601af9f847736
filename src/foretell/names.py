"""Parse names with settings, and import optional dependencies and public names on demand."""

import importlib
import inspect
import json
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from foretell.errors import ForetellError

__all__ = ["extra", "first_line", "lazily", "parse_spec"]


def first_line(thing: object) -> str:
    """The first line of the docstring of an object.

    >>> first_line(first_line)
    'The first line of the docstring of an object.'
    """
    return (inspect.getdoc(thing) or "").partition("\n")[0]


def extra(module: str, name: str) -> ModuleType:
    """Import a module that is installed by one of foretell's extras.

    Raises ForetellError with the command that installs the extra, if the import fails.

    >>> extra("timm.nowhere", "timm")
    Traceback (most recent call last):
    foretell.errors.ForetellError: 'timm.nowhere' cannot be imported (No module named ...);
    pip install 'foretell[timm]'
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        reason = " ".join(str(error).split())
        raise ForetellError(
            f"{module!r} cannot be imported ({reason}); pip install 'foretell[{name}]'"
        ) from error


def lazily(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package that imports each name on first access (PEP 562).

    `homes` maps a name to the module of the package that defines it, or that has this name.
    """

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = importlib.import_module(f"{package}.{homes[name]}")
        value = module if homes[name] == name else getattr(module, name)
        setattr(sys.modules[package], name, value)
        return value

    return get, lambda: sorted(homes)


def parse_spec(text: str) -> tuple[str, dict[str, Any]]:
    """Split a text into the name before the question mark and the settings after it.

    Values that are valid JSON are parsed as JSON; others are strings. Raises ForetellError for an
    empty setting, such as one after a comma at the end, or one without a value.

    >>> parse_spec("nb201?channels=8,variant=reference")
    ('nb201', {'channels': 8, 'variant': 'reference'})
    >>> parse_spec("digits")
    ('digits', {})
    """
    name, _, rest = text.partition("?")
    settings: dict[str, Any] = {}
    for item in rest.split(",") if rest else ():
        key, _, value = item.partition("=")
        if not key or not value:
            wrong = f"{item!r} in {text!r} is not a setting"
            if not item:
                wrong = f"{text!r} has an empty setting"
            raise ForetellError(f"{wrong}; write name?key=value,key=value")
        if key in settings:
            raise ForetellError(f"{text!r} gives {key} twice; give one value")
        settings[key] = _read(value)
    return name, settings


def _read(value: str) -> Any:
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return {"True": True, "False": False, "None": None}.get(value, value)
