"""Turn models, and functions that build them, into functions of a seed."""

import inspect
from collections.abc import Callable, Sized
from functools import partial
from inspect import Parameter
from typing import Any

from torch import nn

from foretell.batch import check_module
from foretell.engine.caller import own_settings
from foretell.engine.failures import any_error, complaint_of
from foretell.errors import ForetellError, shown
from foretell.user_code import without_exit

__all__ = ["Build", "Model", "builder", "built"]

Build = Callable[[int], nn.Module]
"""A function that takes a seed and builds a network with weights drawn from it."""

Model = nn.Module | Build | Callable[[], nn.Module]


def builder(model: Model, seeds: Sized, name: str = "model") -> Build:
    """A function that takes a seed and returns the model; error messages call the model `name`.

    - A function that has a parameter `seed`, or requires exactly one argument, is called with the
      seed.
    - A function that requires no argument is called without one. Its weights do not depend on the
      seed, and neither do those of a built model, so only one seed is possible.
    - A class is called like a function, but the seed is passed only to a parameter named `seed`.

    Raises ForetellError if `model` is neither a model nor a function, if the function requires
    other arguments, and for several seeds if the weights do not depend on the seed.

    >>> builder(lambda seed: nn.Linear(4, seed), [2])(2)
    Linear(in_features=4, out_features=2, bias=True)
    >>> builder(nn.Identity, [0])(0)
    Identity()
    >>> builder(nn.Linear, [0])
    Traceback (most recent call last):
    foretell.errors.ForetellError: Linear requires the arguments in_features, out_features; give
    a function of the seed alone, such as lambda seed: Linear(...)
    """
    if not callable(model):  # a module can be called
        check_module(model, name)
    by_seed = None if isinstance(model, nn.Module) else of_seed(model)
    if by_seed is not None:
        return by_seed
    if len(seeds) > 1:
        raise ForetellError(
            f"{len(seeds)} seeds were given for one network, whose weights are already drawn; give "
            "a function of the seed that builds it"
        )
    return partial(without_seed, model)


def of_seed(function: Callable[..., Any]) -> Build | None:
    """Convert to a function of the seed; None if it is to be called without arguments."""
    name = getattr(function, "__name__", type(function).__name__)
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        raise ForetellError(
            f"the arguments of {name} cannot be determined; give a function of the seed, such as "
            f"lambda seed: {name}(...)"
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
    """Whether every call must pass this parameter."""
    several = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    return parameter.default is Parameter.empty and parameter.kind not in several


def without_seed(model: Any, seed: int) -> Any:
    """A model that is already built, or the one that a function without arguments returns."""
    return model if isinstance(model, nn.Module) else model()


def built(build: Build, seed: int) -> nn.Module:
    """The model that the function returns for the seed.

    Raises ForetellError if the function raises anything, including SystemExit, or returns no model.
    """
    try:
        with own_settings(), without_exit():
            model = build(seed)
    except ForetellError:
        raise
    except any_error() as error:
        raise ForetellError(f"the model cannot be built ({complaint_of(error)})") from error
    if not isinstance(model, nn.Module):
        raise ForetellError(
            f"the function that builds the model returned {shown(model)}; return a torch.nn.Module"
        )
    return model
