"""Models that a function in the user's own code, or in an installed package, makes."""

from collections.abc import Callable
from typing import Any

from torch import nn

from foretell.errors import ANY, ForetellError, complaint_of
from foretell.models.specs import Like
from foretell.user_code import named_in_file, named_in_package

__all__ = ["from_file", "from_package", "made"]


def from_file(text: str, settings: dict[str, Any], like: Like) -> nn.Module:
    """What a function in a Python file returns: `nets.py:small?width=32`."""
    return made_by(named_in_file(text), settings, text)


def from_package(text: str, settings: dict[str, Any], like: Like) -> nn.Module:
    """What a function in an installed package returns: `torchvision.models:resnet18`."""
    return made_by(named_in_package(text), settings, text)


def made_by(function: object, settings: dict[str, Any], text: str) -> nn.Module:
    """The module that the factory returns for these settings."""
    if isinstance(function, nn.Module):
        return function
    if not callable(function):
        name = text.rpartition(":")[2]
        raise ForetellError(f"{text!r}: there is no function {name!r} to call")
    return made(text, function, settings)


def made(
    text: str, function: Callable[..., object], settings: dict[str, Any], pretrained: bool = False
) -> nn.Module:
    """The module that a function returns for these settings; `text` is what errors call it.

    Raises ForetellError where it fails or returns anything else.
    """
    try:
        model = function(**settings)
    except ANY as error:
        if pretrained:
            raise ForetellError(
                f"{text!r} cannot be had with pretrained weights ({complaint_of(error)}); "
                "check the network, or leave pretrained out"
            ) from error
        raise ForetellError(f"{text!r} cannot be made: {complaint_of(error)}") from error
    if not isinstance(model, nn.Module):
        raise ForetellError(
            f"{text!r} made a {type(model).__name__}, not a torch.nn.Module; return the network"
        )
    return model
