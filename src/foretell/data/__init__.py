"""The registry of data sets: their names, sources and loaders.

To add one, create a file in this package with a function that returns `Splits`, import it here, and
add an entry to `DATA`. Loaders do not read folders or download anything unless asked to. The tests
in tests/data cover embedded data sets as soon as they are listed.
"""

import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from foretell.checks import as_text
from foretell.data import digits, text
from foretell.data.arrays import npz
from foretell.data.hub import hf_dataset
from foretell.data.noise import random
from foretell.data.pictures import folder
from foretell.data.splits import Part, Split, Splits, minibatch
from foretell.data.stream import first_batch
from foretell.data.tabular import breast_cancer, csv
from foretell.data.tokens import Vocabulary
from foretell.data.torchvision_sets import KNOWN, from_torchvision_set
from foretell.errors import ForetellError, UnknownName, shown, unknown_name
from foretell.names import first_line, parse_spec
from foretell.seeds import own_randomness

__all__ = [
    "DATA",
    "DataEntry",
    "Part",
    "Split",
    "Splits",
    "Vocabulary",
    "first_batch",
    "load_data",
    "minibatch",
    "with_settings",
]


@dataclass(frozen=True)
class DataEntry:
    """A data set, or a family of data sets, and its metadata."""

    load: Callable[..., Splits]
    source: str
    pattern: str
    embedded: bool = False
    """Whether real samples are included in foretell's dependencies, without a file or a
    download."""
    about: str = ""

    @property
    def summary(self) -> str:
        """A one-line description: `about`, or the first line of the loader's docstring."""
        return self.about or first_line(self.load)

    @property
    def settings(self) -> list[str]:
        """The names of the settings that may follow the question mark."""
        parameters = inspect.signature(self.load).parameters.values()
        return [one.name for one in parameters if one.kind is one.KEYWORD_ONLY]

    @property
    def place(self) -> bool | None:
        """Whether a name after the colon is required (True), optional (None) or invalid (False)."""
        for one in inspect.signature(self.load).parameters.values():
            if one.kind is one.POSITIONAL_OR_KEYWORD:
                return True if one.default is one.empty else None
        return False


def _set(name: str) -> DataEntry:
    known = KNOWN[name]
    load = partial(from_torchvision_set, name)
    return DataEntry(load, f"{known.source}, via torchvision", name, about=known.summary)


DATA: dict[str, DataEntry] = {
    "digits": DataEntry(
        digits.digits,
        "Alpaydin & Kaynak 1998, doi:10.24432/C50P49, via scikit-learn",
        "digits",
        embedded=True,
    ),
    "breast_cancer": DataEntry(
        breast_cancer,
        "Wolberg et al. 1995, doi:10.24432/C5DW2B, via scikit-learn",
        "breast_cancer",
        embedded=True,
    ),
    "python_topics": DataEntry(
        text.python_topics,
        "van Rossum et al., docs.python.org/3/reference, via Python",
        "python_topics",
        embedded=True,
    ),
    "random": DataEntry(random, "generated", "random:CxHxWxCLASSES"),
    "folder": DataEntry(folder, "your images", "folder:DIR"),
    "npz": DataEntry(npz, "your arrays", "npz:FILE"),
    "csv": DataEntry(csv, "your table", "csv:FILE?target=COLUMN"),
    "text": DataEntry(text.text, "your text", "text:FILE"),
    "hf-dataset": DataEntry(hf_dataset, "the datasets library", "hf-dataset:DIR_OR_NAME"),
    **{name: _set(name) for name in KNOWN},
}


def load_data(text: str) -> Splits:
    """Load a data set by its name with settings: `digits`, `random:3x8x8`, `cifar10?root=DIR`.

    Raises ForetellError, with the reason, if it cannot be loaded.

    >>> load_data("digits").sample_shape
    (1, 8, 8)
    >>> load_data("random:3x4x4x2?images=10,seed=1").sample_shape
    (3, 4, 4)
    """
    name, settings = parse_spec(as_text("text", text, "the name of a data set"))
    prefix, colon, place = name.partition(":")
    entry = _entry(prefix)
    for key in settings:
        if key not in entry.settings:
            raise unknown_name("setting", key, entry.settings, f"{prefix} has no setting {key!r}")
    if bool(place) != bool(colon) or entry.place not in (None, bool(place)):
        raise ForetellError(f"{text!r} is not the name of a data set; write {entry.pattern}")
    try:
        with own_randomness(0, torch.device("cpu")):  # an imported library may draw random numbers
            return entry.load(*filter(None, [place]), **settings)
    except ForetellError:
        raise
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise ForetellError(f"{text!r} cannot be loaded: {reason}") from error


def with_settings(text: str, **settings: Any) -> str:
    """The name with added settings: those that its data set has and that it does not contain yet.

    >>> with_settings("cifar10?size=32", root="pictures", download=True)
    'cifar10?size=32,root=pictures,download=true'
    >>> with_settings("digits", root="pictures", download=True)
    'digits'
    """
    name, given = parse_spec(text)
    known = _entry(name.partition(":")[0]).settings
    new = {key: value for key, value in settings.items() if key in known and key not in given}
    words = {True: "true", False: "false"}
    more = ",".join(f"{key}={words.get(value, value)}" for key, value in new.items())
    return ("," if given else "?").join(filter(None, [text, more]))


def _entry(prefix: str) -> DataEntry:
    if prefix not in DATA:
        raise of_file(prefix) if os.path.exists(prefix) else unknown_name("data set", prefix, DATA)
    return DATA[prefix]


READERS = {".csv": "csv", ".npz": "npz", ".txt": "text"}
"""The data sets that are read from a file, by the extension of the file."""


def of_file(path: str) -> UnknownName:
    """The error for a path that was given in place of the name of a data set."""
    kind = "folder" if Path(path).is_dir() else READERS.get(Path(path).suffix.lower())
    said = f"no data set is called {shown(path)}"
    if kind is None:
        forms = ", ".join(entry.pattern for entry in DATA.values() if entry.place)
        return UnknownName(f"{said}; for a file or folder, write one of {forms}", path, "data set")
    form = f"{kind}:{path}" + ("?target=COLUMN" if kind == "csv" else "")
    return UnknownName(f"{said}; to read this path, write {form}", path, "data set", (form,))
