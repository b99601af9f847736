"""NAS-Bench-101's own file: nasbench_full.tfrecord, or nasbench_only108.tfrecord.

Ying et al. 2019, arXiv:1902.09635. A record is a JSON list: the hash of the cell, the number of
epochs of training, the adjacency matrix row by row, the operations separated by commas, and a
protobuf message in base64. There are three records, from three runs, for each cell and number of
epochs.
"""

import base64
import json
from array import array
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from foretell.errors import ForetellError
from foretell.progress import Tally
from foretell.tables.keys import nb101_key
from foretell.tables.mapping import Columns, Labels, tabulate
from foretell.tables.reshape import numbered
from foretell.tables.table import Table
from foretell.tables.tfrecord import fields, records

__all__ = ["import_nb101_tfrecord"]

OPERATIONS = {"conv3x3-bn-relu": "0", "conv1x1-bn-relu": "1", "maxpool3x3": "2"}
LABELS = Labels("nb101", "nb101", "Ying et al. 2019, arXiv:1902.09635", "Apache-2.0")
MEASURED = ("valid", "test", "seconds")
# fields of the messages, in nasbench/lib/model_metrics.proto
EVALUATION, PARAMETERS = 1, 2
SECONDS, VALID, TEST = 2, 4, 5


def import_nb101_tfrecord(path: Path, tally: Tally) -> Table:
    """NAS-Bench-101's .tfrecord, full or with 108 epochs only, read without TensorFlow.

    For each number of epochs, the columns are the means over the runs of validation and test
    accuracies in percent and of training seconds, with the single runs as repeats.

    Raises ForetellError for a truncated or damaged file, or one with other records.
    """
    runs, cells = _read(path, tally)
    lengths = sorted(set(runs.epochs))
    each = pd.DataFrame({name: getattr(runs, name) for name in ("cell", "epochs", *MEASURED)})
    frame = pd.DataFrame({"arch": cells.keys, "hash": cells.hashes, "params": cells.parameters})
    for epochs in lengths:
        own = each[each["epochs"] == epochs].drop(columns="epochs")
        wide = numbered(own, "cell", ["valid", "test"]).set_index("cell")
        frame = frame.join(wide.rename(columns=lambda column: _named(column, epochs)))  # noqa: B023
    return tabulate(frame, _columns(frame, lengths), LABELS)


@dataclass
class _Runs:
    """One value per record, in arrays, since the full file has five million records."""

    cell: "array[int]" = field(default_factory=lambda: array("l"))
    epochs: "array[int]" = field(default_factory=lambda: array("l"))
    valid: "array[float]" = field(default_factory=lambda: array("d"))
    test: "array[float]" = field(default_factory=lambda: array("d"))
    seconds: "array[float]" = field(default_factory=lambda: array("d"))


@dataclass
class _Cells:
    """The data of each cell, in order of appearance."""

    number: dict[str, int] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)
    parameters: list[int] = field(default_factory=list)

    @property
    def hashes(self) -> list[str]:
        """The official hashes."""
        return list(self.number)


def _read(path: Path, tally: Tally) -> tuple[_Runs, _Cells]:
    """Every record of the file."""
    runs, cells = _Runs(), _Cells()
    for record in tally.over("import", records(path)):
        try:
            digest, epochs, adjacency, operations, metrics = json.loads(record)
            parameters, final = _final(base64.b64decode(metrics, validate=True))
            if digest not in cells.number:
                cells.number[digest] = len(cells.number)
                cells.keys.append(_key(adjacency, operations))
                cells.parameters.append(parameters)
            runs.cell.append(cells.number[digest])
            runs.epochs.append(epochs)
            for name, value in zip(MEASURED, final, strict=True):
                getattr(runs, name).append(value)
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise ForetellError(
                f"{path} has a record that is not one of NAS-Bench-101 ({error}); give "
                "nasbench_only108.tfrecord or nasbench_full.tfrecord"
            ) from error
    if not cells.keys:
        raise ForetellError(f"{path} has no records; give the official file")
    return runs, cells


def _final(message: bytes) -> tuple[int, tuple[float, float, float]]:
    """The parameters; validation and test accuracy (%) and seconds at the end of training."""
    found = dict(fields(message))  # of a repeated field, the last value is kept
    evaluation = found[EVALUATION]
    if not isinstance(evaluation, bytes):
        raise ValueError("its evaluations are not messages")
    last = {number: float(value) for number, value in fields(evaluation) if number <= TEST}
    return int(found[PARAMETERS]), (100 * last[VALID], 100 * last[TEST], last[SECONDS])


def _key(adjacency: str, operations: str) -> str:
    interior = operations.split(",")[1:-1]
    return nb101_key(adjacency, "".join(OPERATIONS[operation] for operation in interior))


def _named(column: str, epochs: int) -> str:
    """Insert the number of epochs into the name of a column: valid_1 becomes valid_108_1."""
    name, _, run = column.partition("_")
    return f"{name}_{epochs}_{run}" if run else f"{name}_{epochs}"


def _columns(frame: pd.DataFrame, lengths: list[int]) -> Columns:
    accuracies = [f"{name}_{epochs}" for epochs in lengths for name in ("valid", "test")]
    runs = {
        name: tuple(column for column in frame.columns.astype(str) if column.startswith(f"{name}_"))
        for name in accuracies
    }
    return Columns(
        key="arch",
        choose=tuple(f"valid_{epochs}" for epochs in lengths),
        report=tuple(f"test_{epochs}" for epochs in lengths),
        cost=("params", *(f"seconds_{epochs}" for epochs in lengths)),
        repeats=runs,
        keep=("hash",),
    )
