"""Collect numbers from rows one by one as a data frame, at eight bytes each."""

import math
from array import array

import numpy as np
import pandas as pd


class Cells:
    """A growing table of numbers, in which a cell without a number is nan.

    >>> cells = Cells()
    >>> cells.put("resnet18", "snip", 4.25)
    >>> cells.put("resnet34", "params", 21.0)
    >>> cells.frame()
              snip  params
    resnet18  4.25     NaN
    resnet34   NaN    21.0
    """

    def __init__(self) -> None:
        self.names: dict[str, int] = {}
        """The number of each row of the table."""
        self.columns: dict[str, array[float]] = {}

    def put(self, name: str, column: str, value: float) -> None:
        """Set a cell."""
        row = self.names.setdefault(name, len(self.names))
        cells = self.columns.setdefault(column, array("d"))
        cells.extend([math.nan] * (row + 1 - len(cells)))
        cells[row] = value

    def get(self, name: str, column: str, default: float) -> float:
        """The value of a cell, or the default if it has none."""
        row, cells = self.names.get(name, -1), self.columns.get(column, ())
        value = cells[row] if 0 <= row < len(cells) else math.nan
        return default if math.isnan(value) else value

    def frame(self) -> pd.DataFrame:
        """The table, with rows and columns in the order in which they were first set."""
        count = len(self.names)
        for cells in self.columns.values():
            cells.extend([math.nan] * (count - len(cells)))
        columns = {name: np.frombuffer(cells) for name, cells in self.columns.items()}
        return pd.DataFrame(columns, index=list(self.names), copy=True)
