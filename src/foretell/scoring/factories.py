"""A model, or what builds one: what every function that scores several models takes."""

import inspect
from collections.abc import Callable, Sized
from functools import partial
from inspect import Parameter
from typing import Any

from torch import nn

from foretell.engine.failures import ANY, complaint_of
from foretell.errors import ForetellError

__all__ = ["Build", "Model", "builder", "built"]

Build = Callable[[int], nn.Module]
"""Builds a network whose weights are drawn with the seed."""

Model = nn.Module | Build | Callable[[], nn.Module]


def builder(model: Model, seeds: Sized) -> Build:
    """A function of the seed that gives the model.

    - A function that has a parameter `seed`, or requires exactly one argument, is called with the
      seed.
    - A function that requires no argument is called without; it and a built model have one draw of
      weights, so they can be scored with one seed.
    - A class is called like a function, but only a parameter called `seed` is taken for the seed.

    Raises ForetellError for a function that requires other arguments, and for several seeds where
    the weights do not depend on them.

    >>> builder(lambda seed: nn.Linear(4, seed), [2])(2)
    Linear(in_features=4, out_features=2, bias=True)
    >>> builder(nn.Identity, [0])(0)
    Identity()
    >>> builder(nn.Linear, [0])
    Traceback (most recent call last):
    foretell.errors.ForetellError: Linear requires the arguments in_features, out_features; give
    a function of the seed alone, such as lambda seed: Linear(...)
    """
    by_seed = None if isinstance(model, nn.Module) or not callable(model) else of_seed(model)
    if by_seed is not None:
        return by_seed
    if len(seeds) > 1:
        raise ForetellError(
            f"{len(seeds)} seeds for one network: its weights are drawn already; give a function "
            "of the seed that builds it"
        )
    return partial(without_seed, model)


def of_seed(function: Callable[..., Any]) -> Build | None:
    """The function as one of the seed; None for one that is called without arguments."""
    name = getattr(function, "__name__", type(function).__name__)
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        raise ForetellError(
            f"the arguments of {name} are unknown; give lambda seed: {name}(...)"
        ) from None
    required = [one for one in parameters.values() if is_required(one)]
    seed = parameters.get("seed")
    if seed is None and len(required) == 1 and not isinstance(function, type):
        seed = required[0]
    if others := [one.name for one in required if one is not seed]:
        raise ForetellError(
            f"{name} requires the argument{'s' * (len(others) > 1)} {', '.join(others)}; give a "
            f"function of the seed alone, such as lambda seed: {name}(...)"
        )
    if seed is None:
        return None
    if seed.kind is Parameter.POSITIONAL_ONLY:
        return function
    keyword = seed.name
    return lambda value: function(**{keyword: value})


def is_required(parameter: Parameter) -> bool:
    """Whether a call must give it."""
    several = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    return parameter.default is Parameter.empty and parameter.kind not in several


def without_seed(model: Any, seed: int) -> Any:
    """The built model, or what the function returns."""
    return model if isinstance(model, nn.Module) or not callable(model) else model()


def built(build: Build, seed: int) -> Any:
    """What the function returns for the seed.

    Raises ForetellError whatever the function raises; SystemExit, too.
    """
    try:
        return build(seed)
    except ForetellError:
        raise
    except ANY as error:
        raise ForetellError(f"the model cannot be built ({complaint_of(error)})") from error
