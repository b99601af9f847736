"""Write the report of a run: one page, and its tables and figures as separate files."""

import json
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from foretell.checks import as_path, as_texts, optional
from foretell.errors import ForetellError, RunStateError
from foretell.files import file_name, new_folder, write_atomically
from foretell.names import extra
from foretell.report.page import Chart, Figure, Page, TableBlock, as_html
from foretell.report.search import search_page
from foretell.report.simulations import searches_page
from foretell.report.study import study_page, with_truth
from foretell.runs.config import COMMANDS, read_config
from foretell.searching.read import read_search
from foretell.studies.judging import judge
from foretell.studies.read import read_study
from foretell.studies.simulations import read_simulations

__all__ = ["write_page", "write_report"]

STILL_WIDTH = 640


def write_report(
    run: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    truths: Sequence[str] = (),
) -> Path:
    """Write the report of a search, a study or simulated searches; return the path of index.html.

    The report is written to the folder `out`, by default `RUN/report`. Besides the page, the folder
    contains each table as CSV, each figure as SVG and PNG, and, for a study, `scores.csv` with the
    scores and accuracies of each architecture. `truths` names columns of the table; the default is
    that of `judge`. Needs the extra `report`.

    Raises RunStateError if the folder is not a run, or contains no results yet.
    """
    run, out = as_path("run", run), optional(as_path)("out", out)
    truths = as_texts("truths", truths, "names of columns")
    extra("vl_convert", "report")
    job = read_config(run).get("job")
    if truths and job in ("search", "simulation"):
        raise ForetellError(
            f"truths is {', '.join(truths)}, which has no effect on the report of "
            f"`{COMMANDS[job]}`; leave --truth out, which applies only to studies"
        )
    folder = out or run / "report"
    if job == "simulation":
        return write_page(searches_page(read_simulations(run)), folder)
    if job == "search":
        return write_page(search_page(read_search(run)), folder)
    if job != "study":
        raise RunStateError(
            f"{run} is a run of kind {job!r}; reports are available for runs of "
            f"{', '.join(f'`{command}`' for command in COMMANDS.values())}",
            run,
            "not a run",
        )
    rows = read_study(run)
    tables = judge(rows, truths)
    page = write_page(study_page(rows, tables), folder)
    everything = rows.runs[0].join([with_truth(rows, truth)[[truth]] for truth in tables])
    write_text(folder / "scores.csv", everything.to_csv())
    return page


def write_page(page: Page, folder: Path) -> Path:
    """Write the page, its tables and its figures into a folder, which is created if needed."""
    try:
        with new_folder(folder):
            pass
    except OSError as error:
        raise ForetellError(
            f"the folder {folder} cannot be created ({error.strerror}); choose another with --out"
        ) from error
    for block in page.blocks:
        match block:
            case TableBlock():
                frame = block.frame if block.whole is None else block.whole
                write_text(folder / f"{file_name(block.name)}.csv", frame.to_csv())
            case Figure():
                write_still(folder / file_name(block.name), block.still or block.chart)
    write_text(folder / "index.html", as_html(page))
    return folder / "index.html"


def write_still(path: Path, chart: Chart) -> None:
    """Write a chart as SVG and PNG, on a white background."""
    fixed = {**chart, "background": "white"}
    if fixed.get("width") == "container":
        fixed["width"] = STILL_WIDTH
    svg, png = drawn(json.dumps(fixed, allow_nan=False))
    write_text(path.with_name(f"{path.name}.svg"), svg)
    write_atomically(path.with_name(f"{path.name}.png"), png)


@lru_cache(maxsize=1)
def drawn(chart: str) -> tuple[str, bytes]:
    """A chart as SVG and PNG; kept for the next figure, which may have the same static version."""
    convert = extra("vl_convert", "report")
    svg = convert.vegalite_to_svg(chart)
    return svg, convert.svg_to_png(svg, scale=2)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    write_atomically(path, text.encode())
