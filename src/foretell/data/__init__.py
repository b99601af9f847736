"""The data sets: what each is called, where it comes from, what loads it.

To add one: a file beside this one with a function that returns `Splits`, an import, and a line in
`DATA`. None reads a folder unless asked to; tests/test_data.py covers it as soon as it is listed.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass

from foretell.data.digits import digits
from foretell.data.splits import Split, Splits, minibatch
from foretell.errors import ForetellError, did_you_mean

__all__ = ["DATA", "DataEntry", "Split", "Splits", "digits", "load_data", "minibatch"]


@dataclass(frozen=True)
class DataEntry:
    """A data set and what is known of it."""

    load: Callable[[], Splits]
    source: str

    @property
    def summary(self) -> str:
        """The first line of the loader's docstring."""
        return (inspect.getdoc(self.load) or "").partition("\n")[0]


DATA: dict[str, DataEntry] = {
    "digits": DataEntry(digits, "Alpaydin & Kaynak 1998, doi:10.24432/C50P49, via scikit-learn"),
}


def load_data(name: str) -> Splits:
    """The registered data set of this name. Raises ForetellError for an unknown name.

    >>> load_data("digits").image_shape
    (1, 8, 8)
    """
    if name not in DATA:
        raise ForetellError(f"no data set is called {name!r}; {did_you_mean(name, DATA)}")
    return DATA[name].load()
