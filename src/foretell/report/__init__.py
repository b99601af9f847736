"""Reports of runs: a page that works offline, with its tables and figures also as files."""

from foretell.report.page import (
    Block,
    Chart,
    Code,
    Figure,
    Page,
    Prose,
    TableBlock,
    as_html,
)
from foretell.report.write import write_page, write_report

__all__ = [
    "Block",
    "Chart",
    "Code",
    "Figure",
    "Page",
    "Prose",
    "TableBlock",
    "as_html",
    "write_page",
    "write_report",
]
