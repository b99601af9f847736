"""What the trainings of a search measure, and how it is shown.

In rows and for searchers, it is called a validation accuracy, and higher is better. A training of
the user's own may return any value; tables and reports show it as it was returned.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

__all__ = ["Measure"]


@dataclass(frozen=True)
class Measure:
    """The values of a search as they are shown."""

    own: bool
    """Whether they are those of the user's own training, not accuracies in %."""
    lower_is_better: bool

    @classmethod
    def of(cls, training: Mapping[str, Any]) -> "Measure":
        """The measure of a training, given by its part of a row key."""
        return cls("budget" in training, bool(training.get("lower_is_better")))

    @property
    def name(self) -> str:
        """The name of its column."""
        return "value" if self.own else "val_accuracy"

    @property
    def title(self) -> str:
        """What an axis or a caption calls it."""
        if not self.own:
            return "validation accuracy (%)"
        return "value (lower is better)" if self.lower_is_better else "value"

    def shown(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The table with the values as they are shown.

        >>> rows = pd.DataFrame({"val_accuracy": [-0.25], "test_accuracy": [None]})
        >>> Measure(own=True, lower_is_better=True).shown(rows)
           value
        0   0.25
        """
        if not self.own:
            return frame
        values = self.signed(frame["val_accuracy"].astype(float))
        plain = frame.assign(val_accuracy=values).drop(columns="test_accuracy", errors="ignore")
        return plain.rename(columns={"val_accuracy": self.name})

    def signed(self, values: "pd.Series[float]") -> "pd.Series[float]":
        """Values of rows as they were returned."""
        return -values if self.lower_is_better else values

    def said(self, value: float) -> str:
        """A value of the rows in a sentence.

        >>> Measure(own=False, lower_is_better=False).said(93.214)
        'a validation accuracy of 93.21 %'
        """
        if not self.own:
            return f"a validation accuracy of {value:.2f} %"
        return f"a value of {-value if self.lower_is_better else value:.4g}"
