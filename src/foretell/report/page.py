"""A page of text, tables and figures, as one HTML file that works offline.

The file contains Vega, Vega-Lite and all data. It follows the reader's light or dark mode.
"""

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, TypeAlias
from urllib.parse import quote

import pandas as pd

from foretell.files import file_name
from foretell.names import extra

__all__ = ["Block", "Chart", "Code", "Figure", "Page", "Prose", "TableBlock", "as_html"]

Chart: TypeAlias = dict[str, Any]
"""A Vega-Lite specification; the width "container" fills the page."""


NAME = 30
"""The width in characters at which the names of a table are wrapped."""


@dataclass(frozen=True)
class Prose:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Code:
    """Commands, or other text whose line breaks are kept."""

    text: str


@dataclass(frozen=True, eq=False)
class TableBlock:
    """A table of text and numbers, whose index is the first column; `name` names its file."""

    name: str
    caption: str
    frame: pd.DataFrame
    whole: pd.DataFrame | None = None
    """The content of the CSV file, if it differs from `frame`."""


@dataclass(frozen=True, eq=False)
class Figure:
    """A chart for the page, and a static version for files, in which a menu would not work."""

    name: str
    caption: str
    chart: Chart
    still: Chart | None = None
    """The static version of the chart; by default, the chart itself, 640 pixels wide."""


Block: TypeAlias = Prose | Code | TableBlock | Figure


@dataclass(frozen=True)
class Page:
    """A title, a summary, and sections, each with a heading and blocks."""

    title: str
    summary: str
    sections: Sequence[tuple[str, Sequence[Block]]]

    @property
    def blocks(self) -> list[Block]:
        """The blocks of all sections."""
        return [block for _, blocks in self.sections for block in blocks]


def as_html(page: Page) -> str:
    """The page as one HTML document. Needs the extra `report`."""
    body = [
        f"<h1>{text(page.title)}</h1>",
        f'<p class="summary">{text(page.summary)}</p>',
        contents_html([heading for heading, _ in page.sections]),
    ]
    for number, (heading, blocks) in enumerate(page.sections, 1):
        inner = "\n".join(block_html(block) for block in blocks)
        title = f'<h2 id="section-{number}">{text(heading)}</h2>'
        body.append(f"<section>\n{title}\n{inner}\n</section>")
    scripts = f"<script>{bundle()}</script>\n<script>{asset('page.js')}</script>"
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<link rel="icon" href="data:,">\n'
        f"<title>{text(page.title)}</title>\n<style>{asset('page.css')}</style>\n</head>\n"
        f"<body>\n<main>\n{chr(10).join(body)}\n</main>\n{scripts}\n</body>\n</html>\n"
    )


def contents_html(headings: Sequence[str]) -> str:
    """Links to the sections."""
    links = "".join(
        f'<li><a href="#section-{number}">{text(heading)}</a></li>'
        for number, heading in enumerate(headings, 1)
    )
    return f'<nav aria-label="Contents">\n<ul>{links}</ul>\n</nav>'


def files_html(name: str, *kinds: str) -> str:
    """Links to the files of a figure or table, which lie beside the page."""
    path = file_name(name)
    links = " ".join(
        f'<a href="{text(quote(f"{path}.{kind}"))}" download>{kind.upper()}</a>' for kind in kinds
    )
    return f'<span class="files">{links}</span>'


def block_html(block: Block) -> str:
    """One block as HTML."""
    match block:
        case Prose():
            return f"<p>{text(block.text)}</p>"
        case Code():
            return (
                '<div class="code"><button type="button" class="copy">Copy</button>\n'
                f'<pre tabindex="0"><code>{text(block.text)}</code></pre></div>'
            )
        case TableBlock():
            return table_html(block)
        case Figure():
            return (
                f'<figure>\n<div class="chart" id="{text(block.name)}" role="img" '
                f'aria-label="{text(block.caption)}"></div>\n'
                f'<script type="application/json" data-for="{text(block.name)}">'
                f"{script_json(block.chart)}</script>\n"
                f"<figcaption>{text(block.caption)} {files_html(block.name, 'svg', 'png')}"
                "</figcaption>\n</figure>"
            )


def table_html(block: TableBlock) -> str:
    """A table that scrolls horizontally in its own box, without the names in its first column.

    Numbers are right-aligned. The script of the page makes the columns sortable.
    """
    frame = block.frame.reset_index()
    numeric = [pd.api.types.is_numeric_dtype(frame[name]) for name in frame]
    tags = ['th scope="row"', *["td"] * (len(numeric) - 1)]
    widest = min(max(map(len, map(str, block.frame.index)), default=1), NAME)
    ways = [broken, *[text] * (len(numeric) - 1)]
    head = "".join(
        f'<th scope="col"{css(number)}>{text(str(name).replace("_", " "))}</th>'
        for name, number in zip(frame, numeric, strict=True)
    )
    rows = "\n".join(
        "<tr>"
        + "".join(
            f"<{tag}{css(number)}{sort_key(value)}>{written(cell(value))}</{tag.split()[0]}>"
            for value, number, tag, written in zip(row, numeric, tags, ways, strict=True)
        )
        + "</tr>"
        for row in frame.itertuples(index=False)
    )
    return (
        f'<figure class="table">\n<figcaption id="caption-{text(block.name)}">'
        f"{text(block.caption)} {files_html(block.name, 'csv')}</figcaption>\n"
        f'<div class="scroll" tabindex="0" role="region" '
        f'aria-labelledby="caption-{text(block.name)}">\n<table style="--name: {widest}ch">\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>\n</div>\n</figure>"
    )


def css(number: bool) -> str:
    """The class attribute of a cell, if it holds a number."""
    return ' class="number"' if number else ""


def sort_key(value: object) -> str:
    """The attribute with the exact number of a cell, by which rows are sorted."""
    if isinstance(value, float) and not pd.isna(value):
        return f' data-value="{float(value)!r}"'
    return ""


def cell(value: object) -> str:
    """A value as it is displayed.

    >>> cell(0.73651), cell(12), cell(float("nan")), cell("snip")
    ('0.737', '12', '–', 'snip')
    """
    if value is None or (isinstance(value, float) and pd.isna(value)):
        return "–"
    if isinstance(value, float):
        return f"{value:,.0f}" if value.is_integer() and abs(value) < 1e15 else f"{value:.3g}"
    return str(value)


def text(value: str) -> str:
    """Text escaped for HTML, in attributes and between tags."""
    return html.escape(value, quote=True)


def broken(value: str) -> str:
    """Text escaped for HTML, in which a line may end after a comma, as in `depth=4,width=8`."""
    return text(value).replace(",", ",<wbr>")


def script_json(value: Any) -> str:
    """JSON that can be embedded in a script element: nothing in it closes the element.

    >>> script_json({"arch": "</script>"})
    '{"arch":"\\\\u003c/script>"}'
    """
    plain = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return plain.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script."""
    script: str = extra("vl_convert", "report").javascript_bundle()
    return script.replace("</script", "<\\/script")


def asset(name: str) -> str:
    """The text of a file in this package."""
    return files("foretell.report").joinpath(name).read_text(encoding="utf-8")
