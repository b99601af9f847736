"""`python -m foretell`."""

import sys

from foretell.cli import entry

if __name__ == "__main__":
    sys.exit(entry())
