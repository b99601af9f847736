"""`foretell report`: a run's rows as a page, with its tables and figures as files."""

import argparse

from foretell.cli.common import Commands
from foretell.cli.study import listed
from foretell.report import write_report

__all__ = ["add_report"]


def add_report(commands: Commands) -> None:
    """`foretell report`."""
    command = commands.add_parser(
        "report",
        help="a run's results as one page, with its tables and figures as files",
        description="Write one HTML page that works without a network, each table as CSV and each "
        "figure as SVG and PNG.",
        epilog="example: foretell report runs/nb201",
    )
    command.add_argument("run", help="run folder of `foretell search`, `study` or `study search`")
    command.add_argument("--out", metavar="DIR", help="for the files; by default RUN/report")
    command.add_argument("--truth", metavar="COLUMNS", help="of the table, commas between")
    command.set_defaults(command=run_report)


def run_report(arguments: argparse.Namespace) -> None:
    """Write the report and say where it is."""
    print(write_report(arguments.run, arguments.out, listed(arguments.truth)))
