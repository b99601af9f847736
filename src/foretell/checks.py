"""Checks of arguments, the same in every public function and every dataclass of settings.

Each returns the value, converted where that is safe, or raises ForetellError: which argument, what
was given, what is accepted.
"""

import math
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from foretell.errors import MOST, ForetellError, shown, unknown_name

__all__ = [
    "as_choice",
    "as_flag",
    "as_function",
    "as_instance",
    "as_integer",
    "as_mapping",
    "as_number",
    "as_path",
    "as_seed",
    "as_text",
    "as_texts",
    "keep",
    "optional",
    "wrong",
]

T = TypeVar("T")
P = ParamSpec("P")


def wrong(name: str, value: object, wanted: str) -> ForetellError:
    """The error for an argument that has the wrong value.

    >>> wrong("seeds", 3, "a list of integers")
    ForetellError('seeds is 3; expected a list of integers')
    """
    return ForetellError(f"{name} is {shown(value)}; expected {wanted}")


def as_integer(name: str, value: object, least: int = 1, most: int = MOST) -> int:
    """An integer from `least` to `most`, possibly of a NumPy type; True and 1.0 are refused.

    >>> as_integer("epochs", 0)
    Traceback (most recent call last):
    foretell.errors.ForetellError: epochs is 0; expected an integer of at least 1
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or int(value) < least:
        raise wrong(name, value, f"an integer of at least {least}")
    if int(value) > most:
        raise wrong(name, value, f"an integer of at most {most}")
    return int(value)


def as_seed(name: str, value: object) -> int:
    """The seed of a random number generator: a non-negative integer that fits into 64 bits."""
    return as_integer(name, value, least=0)


def as_number(
    name: str,
    value: object,
    least: float = -math.inf,
    *,
    above: float = -math.inf,
    below: float = math.inf,
) -> float:
    """A finite number of at least `least`, more than `above` and less than `below`.

    >>> as_number("lr", float("nan"), above=0)
    Traceback (most recent call last):
    foretell.errors.ForetellError: lr is nan; expected a finite number above 0
    """
    said = [f"of at least {least:g}"] if least > -math.inf else []
    said += [f"above {above:g}"] if above > -math.inf else []
    said += [f"below {below:g}"] if below < math.inf else []
    wanted = f"a finite number {' and '.join(said)}".rstrip()
    if not isinstance(value, Real) or isinstance(value, bool):
        raise wrong(name, value, wanted)
    with suppress(OverflowError):  # an integer of more than 308 digits
        if least <= float(value) and above < float(value) < below:
            return int(value) if isinstance(value, Integral) else float(value)
    raise wrong(name, value, wanted)


def as_flag(name: str, value: object) -> bool:
    """True or False; other truthy or falsy values are refused."""
    if not isinstance(value, bool):
        raise wrong(name, value, "True or False")
    return value


def as_text(name: str, value: object, wanted: str = "text", *, empty: bool = False) -> str:
    """A string, which may be empty only if `empty` is True."""
    if not isinstance(value, str) or not (value or empty):
        raise wrong(name, value, wanted)
    return str.__str__(value)


def as_texts(name: str, value: object, wanted: str = "a list of names") -> tuple[str, ...]:
    """A list of the strings in any collection except a dict; a single string becomes a list of one.

    >>> as_texts("truths", "test"), as_texts("truths", ["val", "test"])
    (('test',), ('val', 'test'))
    """
    if isinstance(value, str):
        return (as_text(name, value, wanted),)
    if not isinstance(value, Iterable) or isinstance(value, Mapping | bytes):
        raise wrong(name, value, wanted)
    return tuple(as_text(f"an entry of {name}", one, "a name") for one in value)


def as_choice(name: str, value: object, known: Collection[str], kind: str = "") -> str:
    """One of a few words, or a name in a registry whose entries are of this kind.

    >>> as_choice("layers", "most", ("all", "conv2d_linear"))
    Traceback (most recent call last):
    foretell.errors.ForetellError: layers is 'most'; expected 'all' or 'conv2d_linear'
    """
    if isinstance(value, str) and value in known:
        return value
    if kind and isinstance(value, str):
        raise unknown_name(kind, value, known)
    raise wrong(name, value, f"the name of a {kind}" if kind else " or ".join(map(repr, known)))


def as_path(name: str, value: object) -> Path:
    """The path of a file or folder, given as a string or a path-like object.

    >>> as_path("run", "")
    Traceback (most recent call last):
    foretell.errors.ForetellError: run is ''; expected a path
    """
    path = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(path, str) or not path or "\0" in path:
        raise wrong(name, value, "a path")
    if max(map(len, map(os.fsencode, Path(path).parts)), default=0) > LONGEST:
        raise wrong(name, value, f"a path whose names have at most {LONGEST} bytes")
    return Path(path)


LONGEST = 255
"""The largest number of bytes in a file name that all common file systems allow."""


def as_function(name: str, value: object, wanted: str) -> Any:
    """A callable; `wanted` describes its arguments in the error message."""
    if not callable(value):
        raise wrong(name, value, wanted)
    return value


def as_instance(name: str, value: object, kind: type[T], wanted: str = "") -> T:
    """An instance of a class; `wanted` says in the error message how to obtain one."""
    if not isinstance(value, kind):
        raise wrong(name, value, wanted or f"{kind.__name__}(...)")
    return value


def as_mapping(name: str, value: object, wanted: str) -> dict[str, Any]:
    """A copy of a dict whose keys are strings."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise wrong(name, value, wanted)
    return dict(value)


def optional(
    check: Callable[Concatenate[str, Any, P], T],
) -> Callable[Concatenate[str, object, P], T | None]:
    """The check for an argument that may also be None.

    >>> optional(as_integer)("patience", None)
    >>> optional(as_integer)("patience", 0)
    Traceback (most recent call last):
    foretell.errors.ForetellError: patience is 0; expected an integer of at least 1, or None
    """

    def checked(name: str, value: object, /, *args: P.args, **options: P.kwargs) -> T | None:
        if value is None:
            return None
        try:
            return check(name, value, *args, **options)
        except ForetellError as error:
            raise ForetellError(f"{error}, or None") from None

    return checked


def keep(
    settings: object,
    name: str,
    check: Callable[Concatenate[str, Any, P], object],
    *args: P.args,
    **options: P.kwargs,
) -> None:
    """Check a field of a frozen dataclass in its `__post_init__`, and keep the checked value."""
    object.__setattr__(settings, name, check(name, getattr(settings, name), *args, **options))
