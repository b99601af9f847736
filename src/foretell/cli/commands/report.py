"""`foretell report`: a run's results as a page, with its tables and figures as files."""

import click

from foretell.cli.command import Command, option
from foretell.cli.options import truth_option
from foretell.cli.output import say

EXAMPLES = """\
Examples:
foretell report runs/search
foretell report runs/study --truth cifar100_test --out paper"""


@click.command(cls=Command, epilog=EXAMPLES)
@click.argument("run")
@option(
    "--out", metavar="DIR", show_default="RUN/report", help="The folder that the files go into."
)
@truth_option
def report(run: str, out: str | None, truth: tuple[str, ...]) -> None:
    """Write a run's results as one HTML page.

    RUN is the folder of a `foretell search`, `foretell study` or `foretell study search`. The page
    works without a network; beside it lie its tables as CSV and its figures as SVG and PNG.
    """
    from foretell.report import write_report

    say(str(write_report(run, out, truth)))
