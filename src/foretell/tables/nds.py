"""NDS: networks of several families, drawn at random and trained, from the authors' JSON files.

Radosavovic et al. 2019, arXiv:1905.13214. A file contains the training runs of one family: the
settings of the network, and the errors on the training and on the test images after each epoch.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from foretell.errors import ForetellError
from foretell.progress import Tally
from foretell.tables.keys import NDS, nds_key
from foretell.tables.mapping import Columns, Labels, tabulate
from foretell.tables.reshape import numbered
from foretell.tables.table import Table

__all__ = ["import_nds"]

SOURCE = "Radosavovic et al. 2019, arXiv:1905.13214"
EPOCHS = (10, 25, 50)
"""The epochs after which the accuracies are columns, in addition to the last one."""
FINAL = ("test_accuracy", "best_test_accuracy")
COSTS = ("params", "flops")
PARTS = ("test", "train")
OPTIMISER = {"learning_rate": "base_lr", "weight_decay": "wd"}


def import_nds(path: Path, tally: Tally) -> Table:
    """NDS's networks of one family: test accuracies, parameters and FLOPs.

    `test_accuracy` is that after the last epoch, and `best_test_accuracy` the highest of any epoch.
    Both are means over the runs of a network. No errors on validation images were published, so
    there is no column to choose by. The table is named after the file.

    Raises ForetellError for a missing or truncated file, one of another kind, and one in which a
    network was trained with several learning rates or weight decays.
    """
    found = _runs(path)
    runs = pd.DataFrame(tally.over("import", (_row(run, path) for run in found), len(found)))
    if (runs.groupby("arch")[[*OPTIMISER]].nunique() > 1).any(axis=None):
        raise ForetellError(
            f"{path} contains networks that were trained with several learning rates or weight "
            "decays, and a table has one row per network; give a file such as ResNet.json"
        )
    frame = numbered(runs, "arch", list(FINAL))
    return tabulate(frame, _columns(runs, frame), Labels(f"nds_{path.stem}", NDS, SOURCE))


def _runs(path: Path) -> list[Any]:
    """All runs in the file; a file of reruns has two lists, by the rank of the networks."""
    if not path.is_file():
        raise ForetellError(f"there is no file {path}; give a file of NDS, such as ResNet.json")
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ForetellError(
            f"{path} cannot be read as JSON ({error}); it is truncated or of another kind: give a "
            "file of NDS, such as ResNet.json"
        ) from error
    parts: list[Any] = [content]
    if isinstance(content, dict):
        parts = [content.get("top"), content.get("mid")]
    if not any(parts) or not all(isinstance(part, list) for part in parts):
        raise ForetellError(
            f"{path} contains no runs of NDS; expected a list of runs, or lists `top` and `mid`"
        )
    return [run for part in parts for run in part]


def _row(run: Any, path: Path) -> dict[str, Any]:
    """The values of one run. Errors become accuracies."""
    try:
        curves = {part: [100 - float(x) for x in run[f"{part}_ep_top1"]] for part in PARTS}
        return {
            "arch": nds_key(json.dumps(run["net"])),
            "test_accuracy": curves["test"][-1],
            "best_test_accuracy": 100 - float(run["min_test_top1"]),
            "train_accuracy": curves["train"][-1],
            **_early(curves),
            **{cost: float(run[cost]) for cost in COSTS},
            **{ours: float(run["optim"][theirs]) for ours, theirs in OPTIMISER.items()},
        }
    except ForetellError as error:
        raise ForetellError(f"{path}: {error}") from error
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise ForetellError(
            f"{path} contains a run that is not of NDS ({type(error).__name__}: {error}); expected "
            "net, optim, params, flops, min_test_top1, train_ep_top1 and test_ep_top1 in each"
        ) from error


def _early(curves: Mapping[str, list[float]]) -> dict[str, float]:
    """The accuracies before the last epoch."""
    return {
        f"{part}_{epochs}": curve[epochs - 1]
        for part, curve in curves.items()
        for epochs in EPOCHS
        if epochs < len(curve)
    }


def _columns(runs: pd.DataFrame, frame: pd.DataFrame) -> Columns:
    """The roles of the columns; accuracies on the training images have none."""
    early = [f"test_{epochs}" for epochs in EPOCHS if f"test_{epochs}" in runs]
    train = [column for column in runs.columns.astype(str) if column.startswith("train_")]
    names = frame.columns.astype(str)
    repeats = {x: tuple(name for name in names if name.startswith(f"{x}_")) for x in FINAL}
    return Columns(
        key="arch",
        report=(*FINAL, *early),
        cost=COSTS,
        repeats=repeats if len(repeats[FINAL[0]]) > 1 else {},
        keep=(*train, *OPTIMISER),
    )
