"""`--config`: read the options of a command from a TOML file."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from foretell.cli.command import option
from foretell.cli.values import Limits, Names, Number, OneOf, Whole, quoted
from foretell.errors import ForetellError, unknown_name
from foretell.files import read_text

__all__ = ["config_option"]

Function = TypeVar("Function", bound=Callable[..., Any])
LEFT_OUT = ("help", "config", "json", "csv")


def config_option(function: Function) -> Function:
    """`--config`, which sets the defaults of the other options of the command."""
    return option(
        "--config",
        metavar="FILE",
        is_eager=True,
        expose_value=False,
        callback=configured,
        help="A TOML file with these options, such as `pool = 100`. Options on the command line "
        "take precedence.",
    )(function)


def configured(ctx: click.Context, param: click.Parameter, path: str | None) -> None:
    """Make the values in the file the defaults of the command.

    Raises ForetellError for a file that is not TOML, an unknown option, or a value of a wrong type.
    """
    if path is None:
        return
    known = {
        name.removeprefix("--"): one
        for one in ctx.command.params
        for name in one.opts
        if name.startswith("--") and name.removeprefix("--") not in LEFT_OUT
    }
    values: dict[str, Any] = {}
    for name, value in read_toml(Path(path)).items():
        one = known.get(name.replace("_", "-"))
        if one is None:
            said = f"{path} has the unknown option {name!r}"
            raise unknown_name("option", name, known, said)
        option_name = str(one.name)
        if option_name in values:
            raise ForetellError(f"{path} gives {name} twice; give one value")
        if not fits(one, value):
            raise ForetellError(f"{path}: {name} is {quoted(value)}; give {wanted(one)}")
        if getattr(one, "is_flag", False):
            value = getattr(one, "flag_value", True) if value else None
        values[option_name] = value
    ctx.default_map = values


def read_toml(path: Path) -> dict[str, Any]:
    """The content of the file. Raises ForetellError if it cannot be read."""
    try:
        return tomllib.loads(read_text(path, MOST))
    except OSError as error:
        raise ForetellError(f"cannot read {path}: {error.strerror}; give a TOML file") from None
    except (ValueError, RecursionError) as error:  # also for integers of more than 4,300 digits
        raise ForetellError(f"{path} is not TOML ({error}); correct it") from None


MOST = 2**14
"""The most bytes of a configuration; a larger one could keep the parser of TOML busy for hours."""


def fits(one: click.Parameter, value: Any) -> bool:
    """Whether a value in the file has the type that the option requires."""
    if getattr(one, "is_flag", False):
        return type(value) is bool
    match one.type:
        case Whole():
            return type(value) is int
        case Number():
            return type(value) in (int, float)
        case Names():
            return isinstance(value, str) or (
                isinstance(value, list) and all(isinstance(name, str) for name in value)
            )
        case OneOf(choices=choices):
            return value in choices
    return isinstance(value, str)


def wanted(one: click.Parameter) -> str:
    """The type that the option requires, in words."""
    match one.type:
        case Whole():
            return "a whole number"
        case Number():
            return "a number"
        case Names():
            return "text in quotes, or a list of names in quotes"
        case OneOf(choices=choices):
            return " or ".join(choices)
        case Limits():
            return "text in quotes, such as 'params=1e5'"
    return "true or false" if getattr(one, "is_flag", False) else "text in quotes"
