"""The command line: its commands, and the handling of their errors."""

import os
import sys
from collections.abc import Sequence

import click
from click.shell_completion import shell_complete

from foretell.cli.command import Commands, in_words
from foretell.cli.commands.calibrate import calibrate
from foretell.cli.commands.completion import VARIABLE, completion
from foretell.cli.commands.data import data
from foretell.cli.commands.explain import explain
from foretell.cli.commands.list import list_
from foretell.cli.commands.rank import rank
from foretell.cli.commands.report import report
from foretell.cli.commands.retrain import retrain
from foretell.cli.commands.score import score
from foretell.cli.commands.search import search
from foretell.cli.commands.study import study
from foretell.cli.commands.study_search import study_search
from foretell.cli.commands.tell import tell
from foretell.cli.hints import WORDS
from foretell.cli.interrupt import remembered_interrupts
from foretell.cli.output import note
from foretell.cli.values import quoted
from foretell.errors import ForetellError, complaint_of
from foretell.version import __version__

__all__ = ["foretell", "main"]

RESUMED = ("search", "retrain", "study", "study search")
"""The commands that resume where they were stopped."""

EXAMPLES = """\
Examples:
foretell search                              # find and train networks for handwritten digits
foretell rank nb201:333013 nb201:111111      # rank untrained networks by their scores
foretell list models                         # how networks are named"""


@click.group(cls=Commands, epilog=EXAMPLES, context_settings={"max_content_width": 100})
@click.version_option(
    __version__, message="foretell %(version)s", help="Show the version and exit."
)
def foretell() -> None:
    """Estimate which neural networks are worth training, before any training."""


COMMANDS = {
    "search": search,
    "rank": rank,
    "calibrate": calibrate,
    "score": score,
    "explain": explain,
    "list": list_,
    "tell": tell,
    "retrain": retrain,
    "report": report,
    "study": study,
    "study search": study_search,
    "data": data,
    "completion": completion,
}
for name, command in COMMANDS.items():
    foretell.add_command(command, name)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    0 is success, 1 means that the output could not be written, 2 that the request cannot be carried
    out, and 130 that it was stopped by Ctrl-C.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if instruction := os.environ.get(VARIABLE):
        return completed(instruction)
    root: click.Context | None = None
    try:
        check_words(words)
        with remembered_interrupts(), foretell.make_context("foretell", [*words]) as root:
            root.meta[WORDS] = words
            foretell.invoke(root)
    except click.exceptions.Exit as done:
        return done.exit_code
    except (ForetellError, click.UsageError) as error:
        note(in_words(error) if isinstance(error, click.UsageError) else str(error))
        return 2
    except KeyboardInterrupt:
        # CPython remembers an interrupt inside the `exec` of an import (a dataclass does one), and
        # would die of the signal at exit even though it is caught here; another `exec` forgets it.
        exec("")
        goes_on = root is not None and root.invoked_subcommand in RESUMED
        note("stopped; run the same command again to resume" if goes_on else "stopped")
        return 130
    except SystemExit as error:  # raised by the user's code
        note(f"your code ended the command (sys.exit({error.code!r})); raise an exception instead")
        return 2
    except (MemoryError, RuntimeError) as error:
        if not lacks_memory(error):
            raise
        note(f"out of memory ({complaint_of(error)}); request less at a time")
        return 2
    except BrokenPipeError:  # the reader of the output, such as `head`, has ended
        silence()
    except OSError as error:
        if error.filename:  # what foretell writes raises a ForetellError
            note(f"cannot use {quoted(error.filename)}: {error.strerror}; give another path")
            return 2
        silence()
        note(f"cannot write the output: {error.strerror}")
        return 1
    return 0


def completed(instruction: str) -> int:
    """Answer a shell; 1 if it asks in another way than the scripts of `foretell completion` do."""
    try:
        return shell_complete(foretell, {}, "foretell", VARIABLE, instruction)
    except (KeyError, ValueError):
        return 1


def lacks_memory(error: Exception) -> bool:
    """Whether the error was raised because an allocation failed."""
    from foretell.engine.failures import is_out_of_memory

    return is_out_of_memory(error)


def check_words(words: Sequence[str]) -> None:
    """Raise ForetellError for words that cannot be part of a file name or of a row."""
    for word in words:
        if "\0" in word or word != word.encode("utf-8", "ignore").decode():
            raise ForetellError(
                f"{quoted(word)} contains a NUL, or bytes that are not UTF-8; leave them out"
            )


def silence() -> None:
    """Redirect standard output to nowhere, since Python flushes it once more at exit."""
    if sys.stdout is not None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - it stays open until the process ends
