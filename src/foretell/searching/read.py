"""Read the results of a search, finished or not, from its run folder."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from foretell.errors import RunStateError
from foretell.runs.cells import Cells
from foretell.runs.code import current
from foretell.runs.config import read_config
from foretell.runs.results import results_of_search, told_values
from foretell.runs.rowlog import Row
from foretell.runs.rows import CostRow, PickRow, ScoreRow, ToldRow, TrainRow, rows_of, versions
from foretell.runs.store import RunRows
from foretell.searching.compared import LARGEST, SCORED, UNSCORED
from foretell.searching.measure import Measure

__all__ = ["Found", "read_search"]

ARMS = {SCORED: "with scores", UNSCORED: "without scores", LARGEST: "by #params"}
"""A description of each arm for tables and figures."""


@dataclass(frozen=True, eq=False)
class Found:
    """The results of a search."""

    folder: Path
    config: dict[str, Any]
    trained: pd.DataFrame
    """One row per training, in order: `arm`, `number`, `arch`, scores and costs by name,
    `val_accuracy`, `test_accuracy`, `seconds`, and `spent`, the seconds of training and scoring in
    this arm so far."""
    epochs: pd.DataFrame
    """One row per epoch of each training: `arm`, `arch`, `epoch` and `val_accuracy`."""
    pool: pd.DataFrame
    """The scores and costs by name of every network that was scored, indexed by `arch`."""
    results: pd.DataFrame
    """One row per result, as `foretell.runs.results.results_of_search` returns them."""
    told: pd.DataFrame
    """One row per result that `foretell.tell` added: `arch`, scores and `val_accuracy`."""
    seconds_a_score: float
    made_with: list[str]
    left_out: str = ""
    """A note on how many rows of another version of the user's code are left out; empty if none."""

    @property
    def measure(self) -> Measure:
        """The kind of value that the trainings return."""
        return Measure.of(self.config["training"])

    @property
    def best(self) -> pd.DataFrame:
        """The row of each arm with the best validation accuracy."""
        known = self.trained.dropna(subset="val_accuracy")
        return known.loc[known.groupby("arm", sort=False)["val_accuracy"].idxmax()]

    def curve(self, arm: str) -> pd.DataFrame:
        """The `best` validation accuracy so far and the seconds `spent`, by number of trainings."""
        own = self.trained[self.trained["arm"] == arm].set_index("number")
        return own[["spent"]].assign(best=own["val_accuracy"].cummax().ffill())


def read_search(run: str | os.PathLike[str]) -> Found:
    """Read the results of a search, finished or not, from its run folder alone.

    Raises RunStateError if the folder is not that of a search, or if nothing is scored yet.
    """
    config = read_config(run, "search")
    every, left_out = current(RunRows(run))
    scores, rows = Scores(), list[Row]()
    for stored in every:
        if not scores.take(stored):
            rows.append(stored)
    picks, pool, each = rows_of(PickRow, rows), scores.frame(), scores.mean_seconds()
    if not (picks or len(pool)):
        said = f"{run} has scored nothing yet; resume it with `foretell search`"
        raise RunStateError(said, Path(run), "unfinished")
    trainings = {
        row.network.arch: row.trained
        for row in rows_of(TrainRow, rows)
        if row.training == config["training"]
        and row.network.settings == config["space"]["settings"]
    }
    records, epochs, spent = [], [], dict.fromkeys(ARMS, 0.0)
    if lost := [row.arch for row in picks if row.arch not in trainings]:
        said = f"{run} has no training of {lost[0]}, which it chose; resume the search to train it"
        raise RunStateError(said, Path(run), "damaged")
    for row in picks:
        training = trainings[row.arch]
        spent[row.arm] = max(spent[row.arm], row.before) + training.seconds
        about = {"arm": row.arm, "number": row.number, "arch": row.arch}
        measured = {n: getattr(training, n) for n in ("val_accuracy", "test_accuracy", "seconds")}
        cost = {"spent": spent[row.arm] + row.scored * each}
        records.append({**about, **scored(pool, row.arch), **measured, **cost})
        epochs += [
            {
                "arm": row.arm,
                "arch": row.arch,
                "epoch": one.number,
                "val_accuracy": one.val_accuracy,
            }
            for one in training.history
        ]
    columns = None if records else ["arm", "number", "arch", "val_accuracy", "test_accuracy"]
    frame = pd.DataFrame(records, columns=columns)
    texts = ["arm", "arch"]
    frame = frame.astype({name: float for name in frame if name not in [*texts, "number"]})
    measure = Measure.of(config["training"])
    values = told_values(rows_of(ToldRow, rows), measure.lower_is_better)
    told = pd.DataFrame(
        [{"arch": arch, **scored(pool, arch), "val_accuracy": y} for arch, y in values.items()]
    )
    results = results_of_search(config, rows)
    history = pd.DataFrame(epochs, columns=["arm", "arch", "epoch", "val_accuracy"])
    made_with = sorted({*scores.made_with, *versions(rows)})
    frames = frame, history, pool, results, told
    return Found(Path(run), config, *frames, each, made_with, left_out)


class Scores:
    """The scores and costs of a search, collected one by one."""

    def __init__(self) -> None:
        self.cells, self.costs, self.took = Cells(), list[CostRow](), Cells()
        self.made_with: set[str] = set()

    def take(self, stored: Row) -> bool:
        """Add the row if it is a score or a cost; return whether it is."""
        scores, costs = rows_of(ScoreRow, [stored]), rows_of(CostRow, [stored])
        for row in scores:
            arch, seconds = row.network.arch, row.score.seconds
            self.cells.put(arch, row.proxy, row.score.value)
            self.took.put(arch, "seconds", max(self.took.get(arch, "seconds", 0.0), seconds))
            self.made_with.add(row.made_with)
        self.costs += costs
        return bool(scores or costs)

    def frame(self) -> pd.DataFrame:
        """The scores and costs of each architecture."""
        for row in self.costs:
            self.cells.put(row.network.arch, row.cost, row.value)
        return self.cells.frame().rename_axis("arch")

    def mean_seconds(self) -> float:
        """The mean seconds that scoring an architecture took."""
        took = self.took.columns.get("seconds", ())
        return sum(took) / len(took) if took else 0.0


def scored(pool: pd.DataFrame, arch: str) -> dict[Any, float]:
    """The scores and costs of an architecture by name; empty if it has none."""
    if arch not in pool.index:
        return {}
    return dict(zip(pool.columns, pool.loc[arch].to_numpy(float), strict=True))
