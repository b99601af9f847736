"""`foretell report`: write the results of a run as a page, with tables and figures as files."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import click

from foretell.cli.command import Command, option
from foretell.cli.options import truth_option
from foretell.cli.output import say, stream
from foretell.cli.values import Whole
from foretell.errors import ForetellError

EXAMPLES = """\
Examples:
foretell report runs/search
foretell report runs/search --watch    # while the search is running
foretell report runs/study --truth cifar100_test --out paper
foretell report runs/study --rows rows.parquet"""


@click.command(cls=Command, epilog=EXAMPLES)
@click.argument("run")
@option("--out", metavar="DIR", show_default="RUN/report", help="The folder to write the files to.")
@option("--rows", metavar="FILE", help="Instead, write all rows to FILE.jsonl or FILE.parquet.")
@truth_option
@option(
    "--watch",
    is_flag=True,
    help="Serve the page on this machine, and write it again as the run proceeds, until Ctrl-C.",
)
@option("--port", type=Whole(1, 65_535), show_default="a free one", help="The port of --watch.")
def report(
    run: str,
    out: str | None,
    rows: str | None,
    truth: tuple[str, ...],
    watch: bool,
    port: int | None,
) -> None:
    """Write the results of a run as an HTML page.

    RUN is the folder of a `foretell search`, `foretell study` or `foretell study search`. The page
    works offline; its tables and figures are also written as CSV, SVG and PNG files.
    """
    if rows is not None:
        from foretell.runs.export import export_rows

        if out is not None or truth or watch:
            raise ForetellError("--rows writes no page; leave out --out, --truth and --watch")
        say(str(export_rows(run, rows)))
        return
    from foretell.report import write_report

    write = partial(write_report, run, out, truth)
    if watch:
        serve(Path(run), write, port or 0)
    elif port is not None:
        raise ForetellError("--port has no effect without --watch; leave it out")
    else:
        say(str(write()))


def serve(run: Path, write: Callable[[], Path], port: int) -> None:
    """Serve the report until Ctrl-C."""
    from foretell.report.watch import watching

    with watching(run, write, port) as server, suppress(KeyboardInterrupt):
        say(f"http://127.0.0.1:{server.server_port}/ shows the report; Ctrl-C stops it")
        stream().flush()
        server.serve_forever()
