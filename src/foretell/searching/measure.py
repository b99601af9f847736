"""Show what the trainings of a search measure: accuracies, or the values of your own training.

Rows and searchers always have a validation accuracy, for which higher is better. A training of the
user's own may return any value, which is stored there, negated if lower is better; tables and
reports show it as it was returned.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

__all__ = ["Measure"]


@dataclass(frozen=True)
class Measure:
    """The kind of value that the trainings of a search return."""

    own: bool
    """Whether the values come from the user's own training; otherwise they are accuracies in %."""
    lower_is_better: bool

    @classmethod
    def of(cls, training: Mapping[str, Any]) -> "Measure":
        """The measure of a training, given the part of a row key that describes it."""
        return cls("budget" in training, bool(training.get("lower_is_better")))

    @property
    def name(self) -> str:
        """The name of the column with the values."""
        return "value" if self.own else "val_accuracy"

    @property
    def title(self) -> str:
        """The label of an axis or a caption."""
        if not self.own:
            return "validation accuracy (%)"
        return "value (lower is better)" if self.lower_is_better else "value"

    def shown(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The table with the values as they were returned.

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
        """The values of rows as they were returned by the training."""
        return -values if self.lower_is_better else values

    def said(self, value: float) -> str:
        """A value of the rows as part of a sentence.

        >>> Measure(own=False, lower_is_better=False).said(93.214)
        'a validation accuracy of 93.21 %'
        """
        if not self.own:
            return f"a validation accuracy of {value:.2f} %"
        return f"a value of {-value if self.lower_is_better else value:.4g}"
