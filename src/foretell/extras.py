"""Packages that only some users need, imported when they are needed."""

import importlib
from types import ModuleType

from foretell.errors import ForetellError

__all__ = ["extra"]


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
