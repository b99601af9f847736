"""NATS-Bench's two archives and NAS-Bench-201's file, read by the package of their authors.

Dong & Yang 2020, arXiv:2001.00326; Dong et al. 2021, arXiv:2009.00437. For each cell, number of
epochs, data set and seed, the archive contains the accuracies on the parts of the data set.
`cifar10-valid` means training on half of CIFAR-10's training set, with the other half, `x-valid`,
for choosing. For CIFAR-100 and ImageNet16-120, the official test set is split into `x-valid`, for
choosing, and `x-test`, for reporting.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foretell.errors import ForetellError
from foretell.names import extra
from foretell.progress import Tally
from foretell.tables.mapping import Columns, Labels, tabulate
from foretell.tables.pth import load_pth, unreadable
from foretell.tables.table import Table

__all__ = ["import_nats", "import_nats_sizes", "import_nb201_pth"]

SUFFIX = ".pickle.pbz2"
SOURCE = "Dong & Yang 2020, arXiv:2001.00326; Dong et al. 2021, arXiv:2009.00437"


@dataclass(frozen=True)
class Part:
    """A column, and the part of a data set on which its accuracy is measured."""

    column: str
    dataset: str
    part: str
    choosing: bool = False


PARTS = (
    Part("cifar10valid_xvalid", "cifar10-valid", "x-valid", choosing=True),
    Part("cifar100_xvalid", "cifar100", "x-valid", choosing=True),
    Part("imagenet16_xvalid", "ImageNet16-120", "x-valid", choosing=True),
    Part("cifar10_test", "cifar10", "ori-test"),
    Part("cifar10valid_test", "cifar10-valid", "ori-test"),
    Part("cifar100_test", "cifar100", "x-test"),
    Part("imagenet16_test", "ImageNet16-120", "x-test"),
)


@dataclass(frozen=True)
class Archive:
    """One of the archives: the space of its networks, and their budgets of training."""

    kind: str
    space: str
    budgets: tuple[str, ...]
    """The numbers of epochs, each of a separate training; the largest first."""
    form: str
    """The name of the files."""


TOPOLOGY = Archive("tss", "nb201", ("200", "12"), "NATS-tss-v1_0-3ffb9")
SIZE = Archive("sss", "nats_sss", ("90", "12"), "NATS-sss-v1_0-50262")
COSTS = {"params": "params_m_cifar10", "flops": "flops_m_cifar10"}
Row = dict[str, Any]


def import_nats(path: Path, tally: Tally) -> Table:
    """NATS-Bench's topology archive: the -simple folder, or the one .pickle.pbz2 file.

    The nats-bench package unpickles the files, and unpickling can execute code: read only files
    that come from the authors. The folder is read one network at a time, the file completely.

    Raises ForetellError if the package is not installed or cannot read the archive.
    """
    return _import(path, TOPOLOGY, tally)


def import_nats_sizes(path: Path, tally: Tally) -> Table:
    """NATS-Bench's size archive: the -simple folder, or the one .pickle.pbz2 file.

    It is read like the topology archive, and raises the same errors.
    """
    return _import(path, SIZE, tally)


def _import(path: Path, which: Archive, tally: Tally) -> Table:
    package = extra("nats_bench", "nats")
    if not os.path.exists(path):
        raise ForetellError(
            f"there is no file or folder {path}; give {which.form}-simple or its file"
        )
    if path.is_dir():
        numbers = sorted(
            int(file.name.removesuffix(SUFFIX))
            for file in path.glob(f"*{SUFFIX}")
            if file.name.removesuffix(SUFFIX).isdecimal()
        )
    else:
        numbers = None
    fast = numbers is not None
    return _table(
        path, which, lambda: package.create(str(path), which.kind, fast, False), numbers, tally
    )


def import_nb201_pth(path: Path, tally: Tally) -> Table:
    """NAS-Bench-201's .pth file (v1.0 or v1.1), opened without executing any code in it.

    Raises ForetellError for a missing or truncated file, or one of another kind.
    """
    package = extra("nats_bench", "nats")
    if not path.is_file():
        raise ForetellError(f"there is no file {path}; give NAS-Bench-201-v1_1-096897.pth")

    def opened() -> Any:
        content = load_pth(path)
        infos = content["arch2infos"].items()
        content["arch2infos"] = {
            index: {"12": both["less"], "200": both["full"]} for index, both in infos
        }
        return package.create(content, "tss", False, False)

    return _table(path, TOPOLOGY, opened, None, tally)


def _table(
    path: Path, which: Archive, opened: Any, numbers: Iterable[int] | None, tally: Tally
) -> Table:
    """The table of these networks of the archive, or of all its networks."""
    try:
        archive = opened()
        chosen = sorted(archive.evaluated_indexes if numbers is None else numbers)
        rows = list(tally.over("import", _rows(archive, which, chosen), len(chosen)))
    except ForetellError:
        raise
    except Exception as error:  # unpickling a damaged file may raise anything
        raise unreadable(path, "the official archive", error) from error
    if not rows:
        raise ForetellError(f"{path} contains no networks; expected numbered files")
    frame = pd.DataFrame(rows)
    labels = Labels(which.space, which.space, SOURCE, "not stated")
    return tabulate(frame, _columns(frame, which), labels)


def _rows(archive: Any, which: Archive, numbers: Iterable[int]) -> Iterator[Row]:
    for number in numbers:
        row: Row = {"arch": archive.arch(number), "index": number}
        for budget in which.budgets:
            results = archive.query_meta_info_by_index(number, budget)
            for part in PARTS:
                row |= _accuracies(results, part, budget)
            row |= _seconds(results, budget)
        costs = archive.get_cost_info(number, "cifar10", which.budgets[0])
        row |= {ours: float(costs[theirs]) for theirs, ours in COSTS.items()}
        if archive.fast_mode:  # a network takes 10 MB, and there are 15,625
            archive.arch2infos_dict.clear()
        yield row


def _accuracies(results: Any, part: Part, budget: str) -> Row:
    """The mean over the seeds and the value of each; empty if the part was not evaluated."""
    if part.dataset not in results.get_dataset_names():
        return {}
    runs = {
        seed: float(run.get_eval(part.part)["accuracy"])
        for seed, run in sorted(results.query(part.dataset).items())
        if part.part in run.get_eval_set()
    }
    if not runs:
        return {}
    column = f"{part.column}_{budget}"
    seeds = {f"{column}_seed_{seed}": accuracy for seed, accuracy in runs.items()}
    return {column: float(np.mean(list(runs.values()))), **seeds}


def _seconds(results: Any, budget: str) -> Row:
    """The seconds of training a network on `cifar10-valid`, if measured."""
    if "cifar10-valid" not in results.get_dataset_names():
        return {}
    times = [run.get_train()["all_time"] for run in results.query("cifar10-valid").values()]
    known = [time for time in times if time is not None]
    return {f"cifar10valid_seconds_{budget}": float(np.mean(known))} if known else {}


def _columns(frame: pd.DataFrame, which: Archive) -> Columns:
    """The roles of the columns for which the archive has values."""
    named = [(f"{part.column}_{budget}", part) for budget in which.budgets for part in PARTS]
    there = [(column, part) for column, part in named if column in frame]
    seeds = {
        column: tuple(
            sorted(name for name in frame.columns.astype(str) if name.startswith(f"{column}_seed_"))
        )
        for column, _ in there
    }
    costs = [*COSTS.values(), *(f"cifar10valid_seconds_{budget}" for budget in which.budgets)]
    return Columns(
        key="arch",
        choose=tuple(column for column, part in there if part.choosing),
        report=tuple(column for column, part in there if not part.choosing),
        cost=tuple(column for column in costs if column in frame),
        repeats={column: names for column, names in seeds.items() if len(names) > 1},
        keep=("index",),
    )
