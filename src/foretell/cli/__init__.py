"""The command line."""

from foretell.cli.main import main
from foretell.heap import keep_memory

__all__ = ["entry", "main"]


def entry() -> int:
    """Run the command that the process was started for."""
    keep_memory()
    return main()
