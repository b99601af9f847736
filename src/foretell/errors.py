"""The errors that are part of what foretell says, and how they are worded."""

import difflib
from collections.abc import Iterable


class ForetellError(ValueError):
    """A request that cannot be carried out as given.

    The message is one line: what was given, what was expected, and the next step.
    The command line prints it and exits with 2; the library raises it.
    """


class Undefined(ArithmeticError):
    """A quantity or score that does not exist for this model and batch; the message is why."""


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """The end of an error message about an unknown name.

    >>> did_you_mean("skip_conect", ["none", "skip_connect"])
    "did you mean 'skip_connect'?"
    >>> did_you_mean("lstm", ["none", "skip_connect"])
    'known: none, skip_connect'
    """
    known = list(known)
    close = difflib.get_close_matches(given, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
