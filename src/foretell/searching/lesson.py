"""Measure what a finished search shows about the score that it chose by."""

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from foretell.rankings import oriented
from foretell.searching.compared import TOLD
from foretell.searching.outcome import Outcome
from foretell.statistics.correlations import spearman

__all__ = ["Lesson"]


@dataclass(frozen=True, eq=False)
class Lesson:
    """Measures of an outcome, each computed from its table alone."""

    outcome: Outcome

    @cached_property
    def arms(self) -> Mapping[str, pd.DataFrame]:
        """The rows of each arm, except results from elsewhere, by architecture."""
        groups = self.outcome.table.reset_index("arch").groupby("arm", sort=False)
        return {str(arm): rows for arm, rows in groups if arm != TOLD}

    @cached_property
    def best(self) -> Mapping[str, Mapping[Hashable, Any]]:
        """The row of the best network of each arm, the only one with a test accuracy."""
        return {
            arm: rows.dropna(subset="test_accuracy").to_dict("records")[0]
            for arm, rows in self.arms.items()
            if rows["test_accuracy"].notna().any()
        }

    @property
    def best_trained(self) -> Mapping[Hashable, Any]:
        """The row of the best network that the search trained."""
        rows = pd.concat(self.arms.values())
        return rows.iloc[int(self.quality(rows).argmax())].to_dict()

    @property
    def best_told(self) -> Mapping[Hashable, Any] | None:
        """The row of the best result from elsewhere, if it is better than all trained networks."""
        rows = self.outcome.table.reset_index()
        best = rows.iloc[int(self.quality(rows).argmax())].to_dict()
        return best if best["arm"] == TOLD else None

    def quality(self, rows: pd.DataFrame) -> "pd.Series[float]":
        """The results in rows, oriented so that higher is better; undefined ones are −∞."""
        measure = self.outcome.measure
        return measure.signed(rows[measure.name].astype(float)).fillna(-math.inf)

    @property
    def least(self) -> float:
        """The validation accuracy halfway between guessing and the best one, in %."""
        chance = self.outcome.chance or 0.0
        best = max(float(rows["val_accuracy"].max()) for rows in self.arms.values())
        return (chance + max(chance, best)) / 2

    @property
    def failed(self) -> Mapping[str, int]:
        """The number of networks of each arm that failed: below `least`, or impossible to train."""
        chance = self.outcome.chance or 0.0
        failed = {}
        for arm, rows in self.arms.items():
            learned = (rows["val_accuracy"] >= self.least) & (rows["val_accuracy"] > chance)
            failed[arm] = int((~learned).sum())
        return failed

    @cached_property
    def trained(self) -> pd.DataFrame:
        """Every trained network once, even if several arms trained it."""
        table = self.outcome.table.reset_index("arm", drop=True)
        known = table[~table.index.duplicated()]
        return known.dropna(subset=[self.outcome.measure.name, self.outcome.by])

    @property
    def agreement(self) -> float:
        """Spearman's ρ of score and result among all trained networks; nan if there are too few.

        The networks are not a random sample, so this does not estimate the correlation in the
        space.
        """
        score = oriented(self.trained[[self.outcome.by]])[self.outcome.by]
        return float(spearman(score, self.quality(self.trained)))
