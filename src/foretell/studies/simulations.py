"""Read the rows of simulated searches as curves."""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foretell.errors import RunStateError
from foretell.runs.code import current
from foretell.runs.config import read_config
from foretell.runs.rows import SimulatedRow, rows_of, versions
from foretell.runs.store import RunRows
from foretell.studies.kept import kept_benchmark, kept_seconds
from foretell.studies.simulate import Benchmark, best_so_far

__all__ = ["Simulations", "read_simulations"]


@dataclass(frozen=True, eq=False)
class Simulations:
    """The rows of a run of simulated searches, with the table and the scores that they used."""

    config: dict[str, Any]
    benchmark: Benchmark
    rows: list[SimulatedRow]
    made_with: list[str]
    seconds: "pd.Series[float] | None" = None
    """The training time of each row of the table, named after its source; None if unknown."""

    @cached_property
    def told(self) -> list[str]:
        """The columns that searchers learned from."""
        return list(dict.fromkeys(row.told for row in self.rows))

    @cached_property
    def strategies(self) -> list[str]:
        """The strategies, in the order in which they were first requested."""
        return list(dict.fromkeys(row.strategy for row in self.rows))

    def curves(self, told: str, report: str) -> dict[str, pd.DataFrame]:
        """A data frame for each strategy, with one row per seed and one column per training.

        The values are the column `report` of the network with the highest value of `told` so far,
        and nan after the end of a search.
        """
        steer, show = self.benchmark.told(told), self.benchmark.told(report)
        found: dict[str, dict[int, list[float]]] = {}
        for row in self.rows:
            if row.told == told:
                trained = list(row.trained)
                line = best_so_far(steer[trained].tolist(), show[trained].tolist())
                found.setdefault(row.strategy, {})[row.seed] = line
        return {strategy: framed(lines) for strategy, lines in found.items()}

    def scored(self, told: str) -> dict[str, pd.DataFrame]:
        """The number of networks scored before each training, as data frames like `curves`."""
        found: dict[str, dict[int, list[float]]] = {}
        for row in self.rows:
            if row.told == told:
                found.setdefault(row.strategy, {})[row.seed] = list(map(float, row.scored))
        return {strategy: framed(lines) for strategy, lines in found.items()}

    def hours(self, told: str) -> dict[str, pd.DataFrame]:
        """The hours of trainings and scores so far, as data frames like those of `curves`.

        Empty if the times of trainings are unknown.
        """
        if self.seconds is None:
            return {}
        each = self.seconds.fillna(self.seconds.mean()).to_numpy()
        score = float(self.config["scores"]["seconds"])
        found: dict[str, dict[int, list[float]]] = {}
        for row in self.rows:
            if row.told == told:
                spent = each[list(row.trained)].cumsum() + score * np.array(row.scored)
                line = (spent / 3600).tolist()
                found.setdefault(row.strategy, {})[row.seed] = line
        return {strategy: framed(lines) for strategy, lines in found.items()}


def framed(lines: dict[int, list[float]]) -> pd.DataFrame:
    """A data frame with one row per seed, whose columns count trainings from 1."""
    frame = pd.DataFrame.from_dict(dict(sorted(lines.items())), orient="index", dtype=float)
    frame.columns = pd.Index(np.arange(1, frame.shape[1] + 1), name="trainings")
    return frame.rename_axis(index="seed")


def read_simulations(run: str | os.PathLike[str]) -> Simulations:
    """Read the rows of simulated searches, finished or not, from their run folder alone.

    Raises RunStateError if the folder is not such a run or contains no searches yet.
    """
    config = read_config(run, "simulation")
    stored, _ = current(RunRows(run))
    if not (rows := rows_of(SimulatedRow, stored)):
        said = f"{run} contains no searches yet; resume it with `foretell study search`"
        raise RunStateError(said, Path(run), "unfinished")
    benchmark = kept_benchmark(Path(run), config)
    seconds = kept_seconds(Path(run), benchmark.table)
    return Simulations(config, benchmark, rows, versions(stored), seconds)
