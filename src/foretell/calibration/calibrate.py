"""Estimate how far each score can be trusted on your own task, and propose what to train next."""

import html
import json
import math
import os
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd

from foretell.calibration.candidates import candidates
from foretell.calibration.early import early_results
from foretell.calibration.files import as_frame, names_of, run_scores
from foretell.calibration.first import spread_over
from foretell.calibration.results import Results, read_results, results_in
from foretell.calibration.verdict import HELPS, in_words, verdict
from foretell.checks import as_flag, as_integer, as_path
from foretell.errors import ForetellError
from foretell.rankings import oriented
from foretell.statistics.correlations import spearman
from foretell.statistics.ensemble import ensemble, ensemble_weights
from foretell.statistics.posterior import (
    FEWEST,
    Measured,
    Prior,
    posterior,
    probability_ahead,
    trusted,
)
from foretell.statistics.representative import Weighted, measured, relative_ranks, weighted
from foretell.statistics.sample import Floats, Groups

__all__ = ["Calibration", "calibrate", "plain_scores"]

ABOUT = ("rank", "seconds", "why", "name", "model", "arch")
"""The columns of `foretell.rank` that are not scores."""

ENSEMBLE = "ensemble"


@dataclass(frozen=True, eq=False, repr=False)
class Calibration:
    """The result of `calibrate`."""

    scores: pd.DataFrame
    """One row per score and for the ensemble; `calibrate` describes the columns."""
    candidates: pd.DataFrame
    """The untrained candidates, the one with the best expected result first; `calibrate` describes
    the columns."""
    next: tuple[str, ...]
    """The candidates to train next, in this order."""
    statement: tuple[str, ...]
    """The conclusions, as sentences."""
    trained: int
    """The number of candidates with a result."""
    weights: dict[str, float]
    """The weight of each score in the ensemble."""

    def __repr__(self) -> str:
        """The conclusions, and the candidates to train next."""
        said = " ".join(self.statement)
        return f"Calibration by {self.trained} results. {said} Next: {', '.join(self.next)}"

    def _repr_html_(self) -> str:
        """The conclusions and the table of scores, for notebooks."""
        return f"<p>{html.escape(repr(self))}</p>\n{self.scores.to_html()}"


def calibrate(
    scores: pd.DataFrame | str | os.PathLike[str],
    results: object = None,
    *,
    lower_is_better: bool = False,
    next: int = 5,
) -> Calibration:
    """Estimate how far to trust each score on this task, from the results of a few trainings.

    - `scores` has one row per candidate: a table as `foretell.rank` returns it, a CSV, JSON or
      Parquet file of one, or the folder of a search or study. Every numeric column is a score; in
      columns that foretell does not know, higher must be better.
    - `results` has the results of the trainings: a table, or a CSV, JSON or Parquet file, with the
      columns `name` and `value`, and `seed` and `epoch` if there are several; or a dict of names
      and values. Repeated trainings of a network are averaged, and only the last epoch of the table
      counts. Networks whose training ended earlier remain candidates, and are ranked by the result
      of their last epoch. Without results, those of the search count if `scores` is its folder,
      including results from elsewhere and those of the short trainings of the first stage
      "halving"; otherwise, all estimates are the prior, which was measured on other spaces.
    - `lower_is_better` says that the results are losses or errors.
    - `next` is the number of candidates to propose for training. Until five are trained, the
      proposals are spread over the values of the ensemble, the sizes, and the disagreement between
      scores. Afterwards, they are the candidates with the best expected results, or the best by
      another score if the ensemble misleads.

    In the result, `scores` has one row per score and one for the label-free `ensemble`, with these
    columns: `rho`, the posterior estimate of Spearman's rank correlation between the score and the
    results; `low` and `high`, its 95 % interval, whose coverage holds for every true correlation;
    `p_above_0.3`, the probability that the correlation is above 0.3, and `p_beats_params`, that it
    is above the correlation of the number of parameters, both for tasks like the published ones on
    which the prior was measured; `verdict` in words; `measured`, the correlation among the trained
    networks; `before`, the estimate without results; and `undefined`, the number of candidates for
    which the score is undefined. With fewer than five trainings there is no interval, and if the
    trained networks come from only a part of the range of a score, only `before` and `undefined`
    are known.

    `candidates` has one row per candidate without a result: its `rank` in the whole pool by the
    expected result, and `p_top_10`, the probability that it is among the best 10 % of the pool,
    which is given only if the ensemble helps here; 0.5 means 0.5 or more. docs/decisions.md shows
    how accurate these probabilities are. If some networks were not trained to the end, `epoch` is
    the last epoch that they reached; they have no probability.

    Raises ForetellError for results whose name is not a candidate, whose units are mixed or whose
    direction is unclear, for tables without scores, and for infinite numbers.

    >>> numbers = {"params": range(40), "snip": range(40)}
    >>> scores = pd.DataFrame(numbers, [f"n{i}" for i in range(40)])
    >>> found = calibrate(scores, {f"n{i}": 50.0 + i for i in range(0, 40, 3)})
    >>> found.scores.loc["snip", "verdict"]
    'helps'
    >>> found.next[:2]
    ('n38', 'n37')
    """
    flag, count = as_flag("lower_is_better", lower_is_better), as_integer("next", next)
    if flag and results is None:
        raise ForetellError("lower_is_better has no effect without results; leave it out")
    pool = read_scores(scores)
    ranks = pd.DataFrame({name: relative_ranks(floats(pool[name])) for name in pool}, pool.index)
    weights = ensemble_weights({str(name): ranks[name].to_numpy() for name in ranks})
    ranks[ENSEMBLE] = relative_ranks(floats(ensemble(ranks)))
    if results is not None:
        found = read_results(results, pool.index, flag)
    elif (folder := folder_of(scores)) is not None:
        found = results_in(folder, pool.index)
    else:
        found = Results(pd.Series(dtype=float), math.nan, 0)
    places = pool.index.get_indexer(found.values.index)
    by = weighted({str(name): ranks[name].to_numpy() for name in ranks}, places)
    table = table_of(pool, ranks, places, floats(found.values), by)
    leader = leading(table)
    helps = bool(table["verdict"].loc[ENSEMBLE] == HELPS)
    early = early_results(found.early, found.values, pool.index)
    left = candidates(ranks, ENSEMBLE, places, floats(found.values), by, helps, early)
    proposed = proposals(ranks, places, by, count, leader, left)
    said = in_words(table, found, by, len(pool), leader, early)
    return Calibration(table, left, proposed, said, len(found.values), weights)


def floats(values: "pd.Series[float]") -> Floats:
    """The values of a column as a float64 array."""
    return np.asarray(values, dtype=np.float64)


def folder_of(given: object) -> Path | None:
    """The folder, if the candidates are those of a run."""
    if not isinstance(given, str | os.PathLike):
        return None
    path = as_path("scores", given)
    return path if path.is_dir() else None


def read_scores(given: object) -> pd.DataFrame:
    """The scores of each candidate by name, oriented so that higher is better in every column."""
    return oriented(plain_scores(given))


def plain_scores(given: object) -> pd.DataFrame:
    """The scores of each candidate by name, as they are in the table."""
    folder = folder_of(given)
    frame = as_frame("scores", given) if folder is None else run_scores(folder)
    names = names_of("scores", frame)
    if names.duplicated().any():
        twice = names[names.duplicated()].iloc[0]
        raise ForetellError(f"scores has {twice!r} twice; give each candidate one row")
    columns = [str(name) for name in frame if is_score(str(name), frame[name])]
    if not columns:
        raise ForetellError("scores has no column with numbers; give at least one score")
    if infinite := [name for name in columns if np.isinf(frame[name].astype(float)).any()]:
        raise ForetellError(
            f"scores has an infinite number in {infinite[0]}; leave empty what is undefined"
        )
    if frame[columns].nunique().max() < 2:
        raise ForetellError(
            f"scores has no column that differs between candidates ({', '.join(columns)}: "
            "undefined or the same for all); give at least one that does"
        )
    if ENSEMBLE in columns:
        raise ForetellError("scores has a column called 'ensemble', which is computed; rename it")
    if len(frame) < 3:
        raise ForetellError(f"scores has {len(frame)} candidates; give at least 3")
    return frame[columns].set_axis(pd.Index(names), axis="index")


def is_score(name: str, values: "pd.Series[float]") -> bool:
    """Whether this column is a score."""
    derived = name in ABOUT or name.endswith("_std") or name.startswith("rank_without_")
    empty = values.dtype == object and values.isna().all()
    return not derived and (values.dtype.kind in "iuf" or bool(empty))


@cache
def priors() -> dict[str, Prior]:
    """The prior of each score, measured on other spaces; "" is the prior of all other scores."""
    content = json.loads((files("foretell.calibration") / "prior.json").read_text("utf-8"))
    found = {name: Prior(one["mean"], one["sd"]) for name, one in content["scores"].items()}
    return {**found, "": Prior(content["any"]["mean"], content["any"]["sd"])}


def prior_for(score: str) -> Prior:
    """The prior of a score."""
    return priors().get(score, priors()[""])


def table_of(
    pool: pd.DataFrame, ranks: pd.DataFrame, places: Groups, truth: Floats, by: Weighted
) -> pd.DataFrame:
    """The table `Calibration.scores`, with one row per score."""
    seen = {str(name): measured(ranks[name].to_numpy()[places], truth, by) for name in ranks}
    rows = []
    for name in seen:
        values = ranks[name].to_numpy()
        missing = int(pool[name].isna().sum()) if name in pool else 0
        row: dict[str, object] = {"score": name, **row_of(name, seen, ranks, by)}
        row["undefined"] = missing
        why = "undefined for every candidate" if missing == len(pool) else ""
        if not why and np.ptp(values) == 0:
            why = "the same for every candidate"
        row["verdict"] = why or row["verdict"]
        if why:
            row |= dict.fromkeys(NUMBERS, math.nan)
        rows.append(row)
    return pd.DataFrame(rows).set_index("score")[
        [*NUMBERS[:5], "verdict", *NUMBERS[5:], "undefined"]
    ]


NUMBERS = ("rho", "low", "high", "p_above_0.3", "p_beats_params", "measured", "before")


def row_of(
    name: str, seen: dict[str, Measured], ranks: pd.DataFrame, by: Weighted
) -> dict[str, object]:
    """The numbers and the verdict of one score."""
    prior, one = prior_for(name), seen[name]
    found = posterior(prior, one)
    low, high = trusted(prior, one)
    ahead = math.nan
    if "params" in seen and name != "params" and np.ptp(ranks["params"]) > 0:
        alike = float(spearman(ranks[name].to_numpy(), ranks["params"].to_numpy()))
        if not math.isnan(alike):
            both = (prior, prior_for("params")), (one, seen["params"])
            ahead = probability_ahead(*both, alike)
    row = {
        "rho": found.rho,
        "low": low,
        "high": high,
        "p_above_0.3": found.above(0.3),
        "p_beats_params": ahead,
        "measured": one.r,
        "before": math.tanh(prior.mean),
    }
    if not by.covered:
        row |= dict.fromkeys(NUMBERS[:6], math.nan)
    return {**row, "verdict": verdict(found, (low, high), one, by)}


def leading(table: pd.DataFrame) -> str:
    """The score to choose by: the ensemble, unless it misleads and another score helps."""
    if table.loc[ENSEMBLE, "verdict"] in ("misleads", "no signal at all"):
        helpful = table[table["verdict"] == "helps"]
        if len(helpful):
            return str(helpful["rho"].idxmax())
    return ENSEMBLE


def proposals(
    ranks: pd.DataFrame, places: Groups, by: Weighted, count: int, leader: str, left: pd.DataFrame
) -> tuple[str, ...]:
    """The candidates to train next: a spread over the pool at first, the most promising later."""
    if len(places) < FEWEST or not by.covered:
        chosen = spread_over(ranks, ENSEMBLE, places, count)
        return tuple(str(ranks.index[place]) for place in chosen)
    if leader == ENSEMBLE:
        return tuple(map(str, left.index[:count]))
    rest = ranks[leader].drop(ranks.index[places])
    best = rest.sort_values(ascending=False, kind="stable").index[:count]
    return tuple(map(str, best))
