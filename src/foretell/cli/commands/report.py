"""`foretell report`: write the results of a run as a page, with tables and figures as files."""

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
@option("--out", metavar="DIR", show_default="RUN/report", help="The folder to write the files to.")
@truth_option
def report(run: str, out: str | None, truth: tuple[str, ...]) -> None:
    """Write the results of a run as an HTML page.

    RUN is the folder of a `foretell search`, `foretell study` or `foretell study search`. The page
    works offline; its tables and figures are also written as CSV, SVG and PNG files.
    """
    from foretell.report import write_report

    say(str(write_report(run, out, truth)))
