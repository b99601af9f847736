"""The command line."""

from foretell.cli.app import main
from foretell.executors.own_memory import keep_memory

__all__ = ["entry", "main"]


def entry() -> int:
    """Run the command line of this process."""
    keep_memory()
    return main()
