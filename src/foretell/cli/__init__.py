"""The command line."""

from foretell.cli.app import main
from foretell.executors.own_memory import keep_memory

__all__ = ["entry", "main"]


def entry() -> int:
    """Run the command that the process was started for."""
    keep_memory()
    return main()
