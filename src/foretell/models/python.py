"""Models that are made by a function in a user's file or in an installed package."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from foretell.errors import ForetellError, any_error, complaint_of
from foretell.models.specs import Like
from foretell.seeds import own_randomness
from foretell.user_code import named_in_file, named_in_package

__all__ = ["from_file", "from_package", "made"]


def from_file(text: str, settings: dict[str, Any], like: Like) -> nn.Module:
    """The model that a function in a Python file returns: `nets.py:small?width=32`."""
    return made_by(named_in_file(text), settings, text, like.seed)


def from_package(text: str, settings: dict[str, Any], like: Like) -> nn.Module:
    """The model that a function in an installed package returns: `torchvision.models:resnet18`."""
    return made_by(named_in_package(text), settings, text, like.seed)


def made_by(function: object, settings: dict[str, Any], text: str, seed: int) -> nn.Module:
    """The module that a function returns for these settings; a module is returned unchanged.

    The function draws by the seed, whatever its file has drawn or seeded when it was imported.
    """
    if isinstance(function, nn.Module):
        return function
    if not callable(function):
        name = text.rpartition(":")[2]
        raise ForetellError(f"{text!r}: there is no function {name!r}; define it or give another")
    with own_randomness(seed, torch.device("cpu")):
        return made(text, function, settings)


def made(
    text: str, function: Callable[..., object], settings: dict[str, Any], pretrained: bool = False
) -> nn.Module:
    """The module that a function returns for these settings; error messages call it `text`.

    Raises ForetellError if the function fails or returns anything else.
    """
    try:
        model = function(**settings)
    except any_error() as error:
        if pretrained:
            raise ForetellError(
                f"{text!r} cannot be loaded with pretrained weights ({complaint_of(error)}); "
                "check the connection, or leave pretrained out"
            ) from error
        raise ForetellError(f"{text!r} cannot be made: {complaint_of(error)}") from error
    if not isinstance(model, nn.Module):
        raise ForetellError(f"{text!r} returned a {type(model).__name__}; return a torch.nn.Module")
    return model
