"""`foretell report`: write the results of a run as a page, with tables and figures as files."""

import click

from foretell.cli.command import Command, option
from foretell.cli.options import truth_option
from foretell.cli.output import say
from foretell.errors import ForetellError

EXAMPLES = """\
Examples:
foretell report runs/search
foretell report runs/study --truth cifar100_test --out paper
foretell report runs/study --rows rows.parquet"""


@click.command(cls=Command, epilog=EXAMPLES)
@click.argument("run")
@option("--out", metavar="DIR", show_default="RUN/report", help="The folder to write the files to.")
@option("--rows", metavar="FILE", help="Instead, write all rows to FILE.jsonl or FILE.parquet.")
@truth_option
def report(run: str, out: str | None, rows: str | None, truth: tuple[str, ...]) -> None:
    """Write the results of a run as an HTML page.

    RUN is the folder of a `foretell search`, `foretell study` or `foretell study search`. The page
    works offline; its tables and figures are also written as CSV, SVG and PNG files.
    """
    if rows is not None:
        from foretell.runs.export import export_rows

        if out is not None or truth:
            raise ForetellError("--rows writes no page; leave out --out and --truth")
        say(str(export_rows(run, rows)))
        return
    from foretell.report import write_report

    say(str(write_report(run, out, truth)))
