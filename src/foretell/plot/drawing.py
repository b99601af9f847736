"""Turn the Vega-Lite specifications of the reports into Altair charts."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from foretell.errors import ForetellError
from foretell.names import extra
from foretell.report import Block, Chart, Figure

if TYPE_CHECKING:
    import altair

__all__ = ["Drawing", "drawing_of", "figure_of"]

Drawing: TypeAlias = "altair.TopLevelMixin"

WIDTH = 520
"""The width in pixels of a chart that fills the page in a report."""


def drawing_of(spec: Chart) -> Drawing:
    """The Altair chart of a specification. Needs the extra `plot`."""
    fixed = {
        name: value for name, value in spec.items() if name != "$schema"
    }  # Altair adds its own
    if fixed.get("width") == "container":
        fixed["width"] = WIDTH
    chart: Any = extra("altair", "plot").Chart.from_dict(fixed)
    return chart  # type: ignore[no-any-return]


def figure_of(blocks: Sequence[Block], name: str, absent: str) -> Drawing:
    """The chart of the figure with this name. Raises ForetellError(absent) if there is none."""
    for block in blocks:
        if isinstance(block, Figure) and block.name == name:
            return drawing_of(block.chart)
    raise ForetellError(absent)
