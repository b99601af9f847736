"""Write a run's report: one page, and its pieces as files of their own."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from foretell.errors import ForetellError
from foretell.files import file_name, write_atomically
from foretell.names import extra
from foretell.report.page import Chart, Figure, Page, TableBlock, as_html
from foretell.report.search import search_page
from foretell.report.simulations import searches_page
from foretell.report.study import study_page, with_truth
from foretell.runs.store import read_config
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
    """Write the report of a search, a study or simulated searches, and return its index.html.

    It goes into the folder `out`, by default `RUN/report`.

    Beside the page lie each table as CSV, each figure as SVG and PNG, and `scores.csv`: what each
    architecture scored, with its accuracies. `truths` are columns of the table, by default as
    `judge` takes them. Needs the extra `report`.

    Raises ForetellError for a folder that is no run, or holds nothing yet.
    """
    extra("vl_convert", "report")
    job = read_config(run).get("job")
    folder = Path(out) if out is not None else Path(run) / "report"
    if job == "simulation":
        return write_page(searches_page(read_simulations(run)), folder)
    if job == "search":
        return write_page(search_page(read_search(run)), folder)
    if job != "study":
        raise ForetellError(
            f"{run} is a run of kind {job!r}; there are reports of `foretell search`, "
            "`foretell study` and `foretell study search`"
        )
    rows = read_study(run)
    tables = judge(rows, truths)
    page = write_page(study_page(rows, tables), folder)
    everything = rows.runs[0].join([with_truth(rows, truth)[[truth]] for truth in tables])
    write_text(folder / "scores.csv", everything.to_csv())
    return page


def write_page(page: Page, folder: Path) -> Path:
    """Write the page and its pieces into a folder, made where it is absent."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ForetellError(
            f"{folder} can't be made ({error.strerror}); give another --out"
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
    """A chart as SVG and PNG, black on white."""
    fixed = {**chart, "background": "white"}
    fixed.pop("params", None)
    if fixed.get("width") == "container":
        fixed["width"] = STILL_WIDTH
    convert = extra("vl_convert", "report")
    text = json.dumps(fixed, allow_nan=False)
    drawn = convert.vegalite_to_svg(text)
    write_text(path.with_name(f"{path.name}.svg"), drawn)
    write_atomically(path.with_name(f"{path.name}.png"), convert.svg_to_png(drawn, scale=2))


def write_text(path: Path, text: str) -> None:
    """A text file, whole or not at all."""
    write_atomically(path, text.encode())
