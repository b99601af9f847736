"""Charts of scores and results as Altair objects, for notebooks and papers.

The charts are those of the reports. A chart can be changed and saved with Altair's own methods,
such as `chart.properties(width=300)` and `chart.save("rho.svg")`. Needs the extra `plot`.
"""

from foretell.plot.calibrations import posterior
from foretell.plot.scores import agreement, correlations, cost, panels, scatter, top_k
from foretell.plot.searches import curve, front, learning, options, pool

__all__ = [
    "agreement",
    "correlations",
    "cost",
    "curve",
    "front",
    "learning",
    "options",
    "panels",
    "pool",
    "posterior",
    "scatter",
    "top_k",
]
