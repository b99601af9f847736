"""The output of a command, kept apart from what other code prints.

Standard output is reserved for the answer of the command. While a command runs, whatever other code
prints, such as a user's model file, goes to standard error, so that the output of `--json` stays
valid JSON.
"""

import io
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import Any, TextIO

import click

from foretell.errors import ForetellWarning

__all__ = ["note", "own_output", "printable", "say", "stream", "warnings_noted", "write"]


def say(text: str, end: str = "\n") -> None:
    """Print lines of the answer, of which a terminal executes nothing."""
    write("\n".join(map(printable, text.split("\n"))) + end)


def write(text: str) -> None:
    """Print a part of the answer as it is."""
    print(text, end="", file=stream())


def note(text: str) -> None:
    """Print a line that is not part of the answer to standard error, if it is open."""
    if sys.stderr is not None:
        with suppress(OSError):
            print(f"foretell: {printable(text)}", file=sys.stderr)


def printable(text: str) -> str:
    r"""The text in one line, with escapes for what a terminal executes or does not show.

    Names of files, models and columns may come from anywhere.

    >>> printable("\x1b[31mred"), printable("a\nb"), printable("ρ – naïve")
    ('\\x1b[31mred', 'a\\nb', 'ρ – naïve')
    """
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )


@contextmanager
def warnings_noted() -> Iterator[None]:
    """After the block, warnings of foretell are printed as notes, unless it raised an error.

    Each text is printed once. After an error, there is no result that it could be about.
    """
    usual, noted = warnings.showwarning, dict[str, None]()

    def show(message: Warning | str, category: type[Warning], *place: Any) -> None:
        if not issubclass(category, ForetellWarning):
            usual(message, category, *place)
        else:
            noted[str(message)] = None

    with warnings.catch_warnings():
        warnings.simplefilter("always", ForetellWarning)
        warnings.showwarning = show  # type: ignore[assignment]
        yield
    for text in noted:
        note(text)


def stream() -> TextIO:
    """The stream for the answer of the running command."""
    out: TextIO = click.get_current_context().obj
    return out


@contextmanager
def own_output() -> Iterator[TextIO]:
    """Within the block, only the returned stream writes to standard output."""
    out = sys.stdout or io.StringIO()  # there is none if the shell has closed it
    with redirect_stdout(sys.stderr):
        if descriptor(out) == 1 and descriptor(sys.stderr) == 2:
            with apart(out) as kept:
                yield kept
        else:
            yield out


def descriptor(stream: TextIO | None) -> int | None:
    """The file descriptor of a stream; None if it has none."""
    try:
        return None if stream is None else stream.fileno()
    except (OSError, ValueError):  # a replacement by a test or a notebook
        return None


@contextmanager
def apart(out: TextIO) -> Iterator[TextIO]:
    """A copy of standard output; the original is redirected to standard error, also for workers."""
    out.flush()
    copy = os.dup(1)
    os.dup2(2, 1)
    try:
        with open(copy, "w", encoding=out.encoding, errors=out.errors, closefd=False) as kept:
            yield kept
    finally:
        os.dup2(copy, 1)
        os.close(copy)
