"""Lay out a table for a given width: names first, numbers in full, the rest as space permits."""

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from rich.cells import cell_len, chop_cells

__all__ = ["Column", "fitted", "lines_of"]

GAP = "  "
NAME, TEXT = 12, 16
"""The minimum width of a column of names, and of other text; longer cells are wrapped."""

NUMBER = re.compile(r"[-–+]?[\d.,]*(e[-+]\d+)?( \[.*\])?|-?inf|nan")
"""A number, with its interval if it has one, or the dash for an undefined one."""


@dataclass(frozen=True)
class Column:
    """A column of a table as text.

    >>> Column("top_overlap", ("0.31 [0.20, 0.42]", "–")).number
    True
    """

    name: str
    cells: tuple[str, ...]
    is_name: bool = False

    @cached_property
    def heading(self) -> str:
        """The name in words."""
        return self.name.replace("_", " ")

    @cached_property
    def number(self) -> bool:
        """Whether the cells are numbers, which are never wrapped."""
        return not self.is_name and all(NUMBER.fullmatch(cell) for cell in self.cells)

    @cached_property
    def most(self) -> int:
        """The width at which nothing is wrapped."""
        return max(map(cell_len, (self.heading, *self.cells)))

    def least(self, width: int | None = None) -> int:
        """The width below which the column is left out; a name may take a third of the line."""
        if self.number:
            words = max(map(cell_len, self.heading.split()), default=0)
            return max(words, *map(cell_len, self.cells), 0)
        wished = max(NAME, (width or 0) // 3) if self.is_name else TEXT
        return min(self.most, wished)

    def lines(self, text: str, width: int) -> list[str]:
        """The lines of a cell: text is wrapped between words, names at any character."""
        if self.is_name:
            return chop_cells(text, width) or [""]
        return textwrap.wrap(text, width) or [""]

    def aligned(self, text: str, width: int) -> str:
        """A line of a cell, padded; numbers are right-aligned."""
        blank = " " * (width - cell_len(text))
        return blank + text if self.number else text + blank


def fitted(
    columns: Sequence[Column], width: int | None, *, keep_all: bool = False
) -> Mapping[str, int]:
    """The widths, by name, of the columns that fit; the most important columns come first.

    Names are always shown. Other columns are left out from the end until the rest fits, unless
    `keep_all` is true. The remaining space goes to the columns that are wrapped most.

    >>> names = Column("model", ("resnet18", "resnet50"), is_name=True)
    >>> numbers = [Column(name, ("1,234,567", "–")) for name in ("params", "flops", "snip")]
    >>> fitted([names, *numbers], 32)
    {'model': 8, 'params': 9, 'flops': 9}
    """
    if width is None:
        return {column.name: column.most for column in columns}
    kept = list(columns)
    while not keep_all and needed(kept, width) > width and not kept[-1].is_name:
        kept.pop()
    widths = {column.name: column.least(width) for column in kept}
    for _ in range(width - needed(kept, width)):
        wrapped = [column for column in kept if widths[column.name] < column.most]
        if not wrapped:
            break
        widths[max(wrapped, key=lambda column: column.most / widths[column.name]).name] += 1
    return widths


def needed(columns: Sequence[Column], width: int) -> int:
    """The minimum width of all columns side by side."""
    return sum(column.least(width) for column in columns) + len(GAP) * (len(columns) - 1)


def lines_of(columns: Sequence[Column], widths: Mapping[str, int]) -> list[str]:
    """The heading, a rule, and the rows, for the columns that have a width."""
    shown = [column for column in columns if column.name in widths]
    heading = [textwrap.wrap(one.heading, widths[one.name]) for one in shown]
    tallest = max(map(len, heading))
    low = [[""] * (tallest - len(words)) + words for words in heading]
    lines = side_by_side(shown, widths, low)
    lines.append(GAP.join("─" * widths[column.name] for column in shown))
    for row in zip(*(column.cells for column in shown), strict=True):
        parts = [
            column.lines(cell, widths[column.name]) for column, cell in zip(shown, row, strict=True)
        ]
        lines += side_by_side(shown, widths, parts)
    return lines


def side_by_side(
    columns: Sequence[Column], widths: Mapping[str, int], parts: Sequence[Sequence[str]]
) -> list[str]:
    """The lines of cells that are printed next to each other."""
    height = max(map(len, parts))
    filled = [[*part, *[""] * (height - len(part))] for part in parts]
    return [
        GAP.join(
            column.aligned(text, widths[column.name])
            for column, text in zip(columns, line, strict=True)
        ).rstrip()
        for line in zip(*filled, strict=True)
    ]
