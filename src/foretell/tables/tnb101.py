"""TransNAS-Bench-101's file, opened without executing any code in it.

Duan et al. 2021, arXiv:2105.11871. The file contains the curves of every network of both spaces on
seven tasks: after each epoch, the metrics on the validation and on the test images.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from foretell.errors import ForetellError
from foretell.progress import Tally
from foretell.tables.mapping import Columns, Labels, tabulate
from foretell.tables.pth import load_pth, unreadable
from foretell.tables.table import Table

__all__ = ["METRICS", "SOURCE", "import_tnb101_macro", "import_tnb101_micro"]

SOURCE = "Duan et al. 2021, arXiv:2105.11871"
METRICS = {
    "class_object": "top1",
    "class_scene": "top1",
    "jigsaw": "top1",
    "room_layout": "loss",
    "segmentsemantic": "mIoU",
    "normal": "ssim",
    "autoencoder": "ssim",
}
"""The metric of each task; a loss is better if it is lower."""
PARTS = {"valid": ("valid", "val"), "test": ("test",)}
"""The names in the file of each part of the data."""
COSTS = ("encoder_params", "encoder_FLOPs", "inference_time")
Row = dict[str, Any]


def import_tnb101_micro(path: Path, tally: Tally) -> Table:
    """TransNAS-Bench-101's 4,096 cells, from the .pth file: metrics after the last epoch.

    Raises ForetellError for a missing or truncated file, or one of another kind.
    """
    return _table(path, "micro", tally)


def import_tnb101_macro(path: Path, tally: Tally) -> Table:
    """TransNAS-Bench-101's 3,256 skeletons, from the .pth file: metrics after the last epoch.

    Raises ForetellError for a missing or truncated file, or one of another kind.
    """
    return _table(path, "macro", tally)


def _table(path: Path, space: str, tally: Tally) -> Table:
    if not path.is_file():
        raise ForetellError(f"there is no file {path}; give transnas-bench_v10141024.pth")
    try:
        networks = load_pth(path)["data"][space]
        rows = list(tally.over("import", _rows(networks), len(networks)))
    except Exception as error:  # unpickling a damaged file may raise anything
        raise unreadable(path, "the official file", error) from error
    frame = pd.DataFrame(rows)
    name = f"tnb101_{space}"
    return tabulate(frame, _columns(frame), Labels(name, name, SOURCE, "not stated"))


def _rows(networks: Mapping[str, Any]) -> Iterator[Row]:
    for arch, tasks in networks.items():
        row: Row = {"arch": arch}
        for task, metric in METRICS.items():
            for part, names in PARTS.items():
                curves = tasks[task]["metrics"]
                known = [name for one in names if (name := f"{one}_{metric}") in curves]
                row[f"{task}_{part}_{metric}"] = float(curves[known[0]][-1])
        costs = tasks["class_object"]["model_info"]
        yield row | {cost: float(costs[cost]) for cost in COSTS}


def _columns(frame: pd.DataFrame) -> Columns:
    measured = [column for column in frame.columns.astype(str) if column not in ("arch", *COSTS)]
    return Columns(
        key="arch",
        choose=tuple(column for column in measured if "_valid_" in column),
        report=tuple(column for column in measured if "_test_" in column),
        cost=COSTS,
        lower=tuple(column for column in measured if column.endswith("_loss")),
    )
