"""The command line."""

from foretell.cli.main import main

__all__ = ["main"]
