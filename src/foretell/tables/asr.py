"""The release of NAS-Bench-ASR: pickles of plain values, one per seed and one per kind of cost.

Mehrotra et al. 2021, ICLR, openreview CU0APx9LMaL. A file contains two pickles: a header, and a
list of rows whose values the header names. nb-asr-e40-SEED.pickle has the phoneme error rates after
training for 40 epochs, nb-asr-info.pickle the parameters, nb-asr-bench-DEVICE.pickle the latency.
"""

import json
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import pandas as pd

from foretell.errors import ForetellError
from foretell.progress import Tally
from foretell.tables.mapping import Columns, Labels, tabulate
from foretell.tables.reshape import numbered
from foretell.tables.table import Table

__all__ = ["asr_key", "import_asr"]

LABELS = Labels("asr", "asr", "Mehrotra et al. 2021, ICLR, openreview CU0APx9LMaL", "not stated")
KINDS = {"training": "nb-asr-e40-*.pickle", "static": "nb-asr-info.pickle"}
BENCH = "nb-asr-bench-*.pickle"


def import_asr(path: Path, tally: Tally) -> Table:
    """NAS-Bench-ASR's release: the folder with nb-asr-e40-*.pickle, or one such file.

    `valid_per` is the lowest phoneme error rate on validation speech over the epochs and `test_per`
    the rate on test speech at the same epoch, in percent, averaged over the seeds. Only plain
    values are unpickled, so no code in a file is executed.

    Raises ForetellError for a missing or truncated file, or one with other content.
    """
    files = sorted(path.glob(KINDS["training"])) if path.is_dir() else [path]
    if not files or not all(file.is_file() for file in files):
        raise ForetellError(
            f"there is no nb-asr-e40-*.pickle at {path}; give the folder of the release"
        )
    counted = tally.over("import", files, len(files))
    runs = pd.concat([_training(file) for file in counted], ignore_index=True)
    frame = numbered(runs.drop(columns="hash"), "arch", ["valid_per", "test_per"])
    hashes = runs.drop_duplicates("arch").set_index("arch")["hash"]
    frame = frame.assign(hash=frame["arch"].map(hashes))
    costs: dict[str, Mapping[str, float]] = {}
    if path.is_dir():
        costs = _costs(path)
    frame = frame.assign(**{name: frame["hash"].map(values) for name, values in costs.items()})
    return tabulate(frame, _columns(len(files), tuple(costs)), LABELS)


def asr_key(cell: Sequence[Sequence[int]], operations: Sequence[str]) -> str:
    """The text of a cell that is given as an operation number and 0 or 1 for each skip, per node.

    >>> asr_key([[1, 0], (0, 0, 1)], ["linear", "conv5"])
    '[["conv5", 0], ["linear", 0, 1]]'
    """
    return json.dumps([[operations[node[0]], *(int(skip) for skip in node[1:])] for node in cell])


def _training(path: Path) -> pd.DataFrame:
    """One row per network of the file of a seed."""
    header, rows = _two_pickles(path, "training")
    operations = tuple(header["search_space"]["ops"])
    try:
        return pd.DataFrame(
            {
                "arch": [asr_key(cell, operations) for *_, cell in rows],
                "hash": [row[0] for row in rows],
                "valid_per": [100 * min(row[1]) for row in rows],
                "test_per": [100 * row[2] for row in rows],
            }
        )
    except (TypeError, ValueError, IndexError) as error:
        raise _unlike(path, error) from error


def _costs(folder: Path) -> dict[str, Mapping[str, float]]:
    """The value of each column of costs by hash, from the files of costs in the folder."""
    found: dict[str, Mapping[str, float]] = {}
    for path in sorted(folder.glob(KINDS["static"])):
        found["params"] = {row[0]: row[1] for row in _two_pickles(path, "static")[1]}
    for path in sorted(folder.glob(BENCH)):
        header, rows = _two_pickles(path, "benchmarking")
        found[f"latency_{header['device']}"] = {row[0]: row[1] for row in rows}
    return found


FIRST = {
    "training": ["model_hash", "val_per", "test_per"],
    "static": ["model_hash", "params"],
    "benchmarking": ["model_hash", "latency"],
}


def _two_pickles(path: Path, kind: str) -> tuple[dict[str, Any], list[Any]]:
    """The header and the rows. Raises ForetellError if they are not of this kind."""
    try:
        with path.open("rb") as file:
            header, rows = _Plain(file).load(), _Plain(file).load()
        if (
            header["dataset_type"] != kind
            or list(header["columns"][: len(FIRST[kind])]) != FIRST[kind]
        ):
            raise ValueError(f"it is {header['dataset_type']!r} with {header['columns']}")
        header["search_space"]["ops"], header["device" if kind == "benchmarking" else "columns"]
    except ForetellError:
        raise
    except Exception as error:  # unpickling a damaged file may raise anything
        raise _unlike(path, error) from error
    return header, list(rows)


def _unlike(path: Path, error: Exception) -> ForetellError:
    reason = " ".join(str(error).split())[:120]
    return ForetellError(
        f"{path} is not a file of NAS-Bench-ASR ({type(error).__name__}: {reason}); give a "
        "complete nb-asr-*.pickle of the release"
    )


class _Plain(pickle.Unpickler):
    """Unpickles numbers, strings and built-in containers, and nothing that could execute code.

    These do not require looking up a name; any name in a pickle is refused.
    """

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self.named = getattr(file, "name", "the file")

    def find_class(self, module: str, name: str) -> NoReturn:
        raise ForetellError(
            f"{self.named} refers to {module}.{name}, which plain values do not; it is not the "
            "official release: download that"
        )


def _columns(runs: int, costs: tuple[str, ...]) -> Columns:
    rates = ("valid_per", "test_per")
    several = {name: tuple(f"{name}_{run}" for run in range(1, runs + 1)) for name in rates}
    return Columns(
        key="arch",
        choose=rates[:1],
        report=rates[1:],
        cost=costs,
        repeats=several if runs > 1 else {},
        lower=rates,
        keep=("hash",),
    )
