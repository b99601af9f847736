"""The exceptions that foretell raises, and the wording of common messages."""

import difflib
import inspect
import re
import reprlib
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

__all__ = [
    "ForetellError",
    "ForetellWarning",
    "OutOfMemory",
    "RunState",
    "RunStateError",
    "Undefined",
    "UnknownName",
    "any_error",
    "complaint_of",
    "did_you_mean",
    "message_of",
    "shown",
    "unknown_name",
]


class ForetellError(ValueError):
    """A request that cannot be carried out.

    The message is one line: what was given, what was expected, and the next step. The library
    raises it; the command line prints it and exits with code 2. Words of more than 500 characters,
    which only a mistake contains, are shortened in it.

    >>> from foretell import load_data
    >>> try:
    ...     load_data("digits?size=3")
    ... except ForetellError as error:
    ...     print(error)
    digits has no setting 'size'...
    """

    def __str__(self) -> str:
        return re.sub(
            r"\S{500,}", lambda word: f"{word[0][:40]}...{word[0][-20:]}", super().__str__()
        )


class ForetellWarning(UserWarning):
    """A warning about a result that foretell returns nevertheless."""


class OutOfMemory(ForetellError):
    """The device has run out of memory.

    A batch is split only if the user sets `micro_batch`. The attribute `micro_batch` is a size that
    was tried, fits into memory and gives the same scores, or None if no such size was found.

    >>> OutOfMemory("out of memory; try micro_batch=16", micro_batch=16).micro_batch
    16
    """

    def __init__(self, message: str, micro_batch: int | None = None) -> None:
        super().__init__(message)
        self.micro_batch = micro_batch


RunState = Literal[
    "locked", "damaged", "other settings", "other version", "unfinished", "not a run"
]
"""The reasons why a run folder cannot be used, in this order: another process is writing to it; a
file is damaged; it was created with other settings; it was created by a version of foretell with
another file format; the requested result does not exist yet; the folder does not contain a run of
this kind."""


class RunStateError(ForetellError):
    """A run folder is not in the required state: `path` is the folder, `reason` says why.

    >>> from foretell import judge
    >>> try:
    ...     judge("no/such/run")
    ... except RunStateError as error:
    ...     print(error.reason)
    not a run
    """

    def __init__(self, message: str, path: Path = Path(), reason: RunState = "not a run") -> None:
        super().__init__(message)
        self.path, self.reason = path, reason


class UnknownName(ForetellError):
    """A name that is not known.

    `given` is the name, `kind` its kind ("proxy", "space", "column", ...), and `near` the most
    similar known names, nearest first; empty if none is similar.

    >>> from foretell import load_data
    >>> try:
    ...     load_data("digit")
    ... except UnknownName as error:
    ...     print(error.given, error.kind, error.near[0])
    digit data set digits
    """

    def __init__(
        self, message: str, given: str = "", kind: str = "", near: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message)
        self.given, self.kind, self.near = given, kind, near


def any_error() -> tuple[type[BaseException], ...]:
    """Everything that user code (a model, loss, proxy or file) may raise, except Ctrl-C.

    A function, since users may derive further classes from BaseException.

    >>> Exception in any_error(), SystemExit in any_error(), KeyboardInterrupt in any_error()
    (True, True, False)
    """
    return tuple(kind for kind in BaseException.__subclasses__() if kind is not KeyboardInterrupt)


def complaint_of(error: BaseException) -> str:
    """An exception of other code in one line: its type and the first 200 characters of its message.

    Characters that are not printable, such as those that control a terminal, are left out.

    >>> complaint_of(KeyError("weight"))
    "KeyError: 'weight'"
    >>> complaint_of(SystemExit())
    'SystemExit: no message'
    """
    printable = (one if one.isprintable() else " " for one in message_of(error)[:10_000])
    return f"{type(error).__name__}: {' '.join(''.join(printable).split())[:200] or 'no message'}"


def message_of(error: BaseException) -> str:
    """The message of an exception; empty if it cannot be read, since its `__str__` fails.

    >>> class Own(Exception):
    ...     def __str__(self):
    ...         return 5
    >>> message_of(Own())
    ''
    """
    try:
        return str(error)
    except any_error():
        return ""


class Undefined(ArithmeticError):
    """A quantity or score that is undefined for this model and batch; the message is the reason."""


def unknown_name(
    kind: str, given: object, known: Iterable[object], said: str = "", then: str = ""
) -> UnknownName:
    """The error for a name that is not among the known ones.

    `said` replaces the default beginning of the message, and `then` is appended to the message.

    >>> error = unknown_name("proxy", "snipp", ["snip", "grasp"])
    >>> print(error)
    no proxy is called 'snipp'; did you mean 'snip'?
    >>> error.near
    ('snip',)
    """
    names = list(map(str, known))
    start = said or f"no {kind} is called {shown(given)}"
    message = f"{start}; {did_you_mean(str(given), names)}{then}"
    return UnknownName(message, str(given), kind, tuple(nearest(str(given), names)))


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """The end of an error message about an unknown name.

    >>> did_you_mean("skip_conect", ["none", "skip_connect"])
    "did you mean 'skip_connect'?"
    >>> did_you_mean("lstm", ["none", "skip_connect"])
    'known: none, skip_connect'
    >>> did_you_mean("lstm", [])
    'there are none'
    >>> did_you_mean("wide", [f"resnet{depth}" for depth in range(100)])
    'the nearest of 100 are resnet9, resnet8, resnet7'
    """
    known = list(known)
    if close := nearest(given, known):
        return f"did you mean {close[0]!r}?"
    if len(known) > MANY:
        return f"the nearest of {len(known)} are {', '.join(nearest(given, known, 0.0))}"
    return f"known: {', '.join(known)}" if known else "there are none"


MOST = 2**63 - 1
"""The largest integer that PyTorch, NumPy and Parquet can store."""

SCALARS = (bool, int, float, complex, str, bytes, range, type(None))
CONTAINERS = (list, tuple, dict, set, frozenset)


def shown(value: object) -> str:
    """The value as quoted in an error message: its repr on one line, shortened, or its type.

    >>> shown("9" * 100)
    "'9999999999999999999999...99999999999999999999999'"
    >>> shown([1, "a"]), shown([difflib]), shown(dict), shown(print), shown(2**200)
    ("[1, 'a']", 'a list', 'the class dict', 'a function', 'an integer of 201 bits')
    """
    if isinstance(value, int) and value.bit_length() > 128:
        return f"an integer of {value.bit_length()} bits"
    if isinstance(value, SCALARS) or is_plain(value):
        short = reprlib.Repr()
        short.maxstring = short.maxother = 50
        if len(text := " ".join(short.repr(value).split())) <= 80:
            return text
    if isinstance(value, type):
        return f"the class {value.__name__}"
    kind = "function" if inspect.isroutine(value) else type(value).__name__
    article = "an" if kind[0] in "aeioAEIO" or kind == "ndarray" else "a"
    return f"{article} {kind}"


def is_plain(value: object) -> bool:
    """Whether the value is a list, tuple, set or dict that contains only numbers and strings."""
    if isinstance(value, dict):
        value = list(value.values())
    return isinstance(value, CONTAINERS) and all(isinstance(one, SCALARS) for one in value)


MANY = 40
"""The maximum number of names that an error message lists."""


def nearest(given: str, known: list[str], similar: float = 0.5) -> list[str]:
    """The three known names that are most similar to the given one, if they are similar enough."""
    return difflib.get_close_matches(given, known, n=3, cutoff=similar)
