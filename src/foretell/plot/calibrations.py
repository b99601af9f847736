"""The chart of a calibration."""

from foretell.calibration.calibrate import Calibration
from foretell.checks import as_instance
from foretell.errors import ForetellError
from foretell.plot.drawing import Drawing, drawing_of
from foretell.report.search_charts import worth_chart
from foretell.statistics.posterior import FEWEST

__all__ = ["posterior"]


def posterior(calibration: Calibration) -> Drawing:
    """Draw the posterior of each score's rank correlation on your task: its mean and 95 % interval.

    Raises ForetellError with fewer than five results, for which there are no intervals.

    >>> import pandas as pd
    >>> from foretell import calibrate
    >>> numbers = {"params": range(40), "snip": range(40)}
    >>> scores = pd.DataFrame(numbers, [f"n{i}" for i in range(40)])
    >>> found = calibrate(scores, {f"n{i}": 50.0 + i for i in range(0, 40, 3)})
    >>> posterior(found).to_dict()["layer"][0]["encoding"]["x"]["title"]
    'rank correlation with the result'
    """
    found = as_instance("calibration", calibration, Calibration, "what calibrate returns")
    if found.scores["low"].isna().all():
        raise ForetellError(
            f"the calibration has {found.trained} results, which give no intervals; train at least "
            f"{FEWEST} networks that are spread over the pool"
        )
    return drawing_of(worth_chart(found.scores.assign(results=found.trained).reset_index()))
