"""Models that a function in the user's own code, or in an installed package, makes."""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from foretell.errors import ForetellError
from foretell.models.like import Like

__all__ = ["from_file", "from_package", "made"]


def from_file(text: str, settings: dict[str, Any], like: Like) -> nn.Module:
    """What a function in a Python file returns: `nets.py:small?width=32`."""
    path_text, _, factory = text.rpartition(":")
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
    return made_by(module, factory, settings, text)


def from_package(text: str, settings: dict[str, Any], like: Like) -> nn.Module:
    """What a function in an installed package returns: `torchvision.models:resnet18`."""
    package, _, factory = text.partition(":")
    try:
        module = importlib.import_module(package)
    except ImportError as error:
        raise ForetellError(f"cannot import {package!r} ({one_line(error)}); install it") from error
    except Exception as error:
        raise ForetellError(f"{package!r} cannot be imported: {one_line(error)}") from error
    return made_by(module, factory, settings, text)


def made_by(module: ModuleType, factory: str, settings: dict[str, Any], text: str) -> nn.Module:
    """The module that the factory returns for these settings."""
    function = getattr(module, factory, None)
    if isinstance(function, nn.Module):
        return function
    if not callable(function):
        raise ForetellError(f"{text!r}: there is no function {factory!r} to call")
    return made(text, function, settings)


def made(
    text: str, function: Callable[..., object], settings: dict[str, Any], pretrained: bool = False
) -> nn.Module:
    """The module that a function returns for these settings; `text` is what errors call it.

    Raises ForetellError where it fails or returns anything else.
    """
    try:
        model = function(**settings)
    except Exception as error:
        if pretrained:
            raise ForetellError(
                f"{text!r} cannot be had with pretrained weights ({one_line(error)}); "
                "check the network, or leave pretrained out"
            ) from error
        raise ForetellError(f"{text!r} cannot be made: {one_line(error)}") from error
    if not isinstance(model, nn.Module):
        raise ForetellError(
            f"{text!r} made a {type(model).__name__}, not a torch.nn.Module; return the network"
        )
    return model


def one_line(error: Exception) -> str:
    """The kind of an error and its message, on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
