"""Scores beside the results that they are compared with, from whatever contains both."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import pandas as pd

from foretell.calibration.calibrate import plain_scores
from foretell.calibration.results import read_results, results_table
from foretell.checks import as_flag, as_path, wrong
from foretell.errors import ForetellError, RunStateError, shown, unknown_name
from foretell.proxies import higher_is_better
from foretell.rankings import oriented
from foretell.report.study import table_unit, with_truth
from foretell.runs.config import read_config
from foretell.searching.outcome import Outcome
from foretell.searching.read import Found, read_search
from foretell.studies.judging import judge, truth_columns
from foretell.studies.read import Rows, read_study
from foretell.studies.table import study_table

__all__ = ["Compared", "Source", "Truth", "compared", "scores_in"]

Source: TypeAlias = pd.DataFrame | Outcome | Rows | str | os.PathLike[str]
"""A table as `foretell.rank` returns it, the outcome of a search, or the folder of a run."""

Truth: TypeAlias = "str | Mapping[str, float] | pd.Series[float] | pd.DataFrame | None"
"""The name of the column with the results, or the results themselves by name."""


@dataclass(frozen=True, eq=False)
class Compared:
    """Scores and results of the same networks."""

    frame: pd.DataFrame
    """One row per network with a result: its scores as they are, and the result."""
    truth: str
    """The column with the results."""
    unit: str = ""
    lower_is_better: bool = False
    study: Rows | None = None

    @cached_property
    def scores(self) -> pd.DataFrame:
        """The scores, negated where lower is better."""
        return oriented(self.frame.drop(columns=self.truth))

    @cached_property
    def target(self) -> "pd.Series[float]":
        """The results, negated if lower is better."""
        values: pd.Series[float] = self.frame[self.truth].astype(float)
        return -values if self.lower_is_better else values

    @cached_property
    def judged(self) -> pd.DataFrame:
        """The statistics of each score, as `foretell.judge` returns them."""
        if self.study:
            return judge(self.study, [self.truth])[self.truth]
        names = [str(name) for name in self.scores]
        upward = {name: higher_is_better(name) is not False for name in names}
        plain = self.frame.drop(columns=self.truth)
        table = study_table(
            plain, self.frame[self.truth], upward, more_is_better=not self.lower_is_better
        )
        return table.assign(published=float("nan"))

    def require(self, score: str) -> str:
        """The name of a score. Raises UnknownName if there is none of this name."""
        if score not in self.scores:
            raise unknown_name("score", str(score), list(map(str, self.scores)))
        return score


def compared(source: Source, truth: Truth = None, lower_is_better: bool = False) -> Compared:
    """The scores of the source beside the results; see `foretell.plot.scatter`."""
    lower = as_flag("lower_is_better", lower_is_better)
    if isinstance(source, pd.DataFrame):
        return of_table(source, truth, lower)
    if lower:
        raise ForetellError("lower_is_better has no effect on a run, which knows it; leave it out")
    rows = run_of(source)
    return of_study(rows, truth) if isinstance(rows, Rows) else of_search(rows, truth)


def run_of(source: object) -> Found | Rows:
    """The rows of a search or of a study."""
    if isinstance(source, Rows):
        return source
    if isinstance(source, Outcome):
        return read_search(source.folder)
    if not isinstance(source, str | os.PathLike):
        raise wrong("source", source, "a DataFrame, an Outcome or the folder of a run")
    path = as_path("source", source)
    job = read_config(path).get("job")
    if job not in ("search", "study"):
        said = f"{path} is neither a search nor a study; give the folder of one"
        raise RunStateError(said, path, "not a run")
    return read_search(path) if job == "search" else read_study(path)


def of_table(table: pd.DataFrame, truth: Truth, lower_is_better: bool) -> Compared:
    """A table of scores, and the results in one of its columns or beside it."""
    if truth is None:
        raise ForetellError(
            "truth is missing; give the column with the results, or a dict of names and results"
        )
    if isinstance(truth, str):
        if truth not in table:
            raise unknown_name("column", truth, list(map(str, table)))
        scores, column = plain_scores(table.drop(columns=truth)), truth
        truth = table[truth].set_axis(scores.index).dropna()
    else:
        scores = plain_scores(table)
        name = truth.name if isinstance(truth, pd.Series) else None
        column = str(name or results_table(truth)[1])
    found = read_results(truth, scores.index, lower_is_better).values
    values = (-found if lower_is_better else found).rename(column)
    if column in scores:
        scores = scores.drop(columns=column)
    return Compared(scores.join(values, how="inner"), column, lower_is_better=lower_is_better)


def of_study(rows: Rows, truth: Truth) -> Compared:
    """The scores of a study and a column of its table, by default the first that `judge` takes."""
    if not isinstance(truth, str | None):
        raise ForetellError(f"truth is {shown(truth)}; name a column of the study's table")
    column = truth_columns(rows.table, [truth] if truth else [])[0]
    unit = "%" if table_unit(rows, column) else ""
    lower = column in rows.table.lower_is_better
    return Compared(with_truth(rows, column), column, unit, lower, rows)


def of_search(found: Found, truth: Truth) -> Compared:
    """The trained networks of a search: their scores and the values of their trainings."""
    if truth is not None:
        raise ForetellError(
            f"truth is {shown(truth)}, which has no effect on a search, whose trainings are the "
            "results; leave it out"
        )
    measure = found.measure
    known = found.trained.dropna(subset="val_accuracy").drop_duplicates("arch").set_index("arch")
    if known.empty:
        raise ForetellError(f"{found.folder} has trained no network yet; resume the search")
    frame = known[[name for name in found.pool if name in known]]
    title = measure.title
    values = measure.signed(known["val_accuracy"]).rename(title)
    return Compared(frame.join(values), title, lower_is_better=measure.lower_is_better)


def scores_in(source: Source) -> pd.DataFrame:
    """The scores alone, of all networks that were scored, negated where lower is better."""
    if isinstance(source, pd.DataFrame):
        return oriented(plain_scores(source))
    rows = run_of(source)
    return oriented(rows.runs[0] if isinstance(rows, Rows) else rows.pool)
