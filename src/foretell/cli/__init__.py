"""The command line."""

import io
import sys

from foretell.cli.app import main
from foretell.executors.own_memory import keep_memory

__all__ = ["entry", "main"]


def entry() -> int:
    """Run the command line of this process."""
    keep_memory()
    if isinstance(sys.stdout, io.TextIOWrapper):  # its encoding may lack the lines of tables
        sys.stdout.reconfigure(errors="backslashreplace")
    return main()
