"""Read the results of trainings: one value per network, and the noise between repeats."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from foretell.calibration.files import as_frame, names_of
from foretell.errors import ForetellError, unknown_name
from foretell.runs.code import current
from foretell.runs.config import read_config
from foretell.runs.results import full_epochs, results_of_search
from foretell.runs.store import RunRows

__all__ = [
    "Results",
    "counting",
    "is_lower_better",
    "read_results",
    "refuse_units",
    "results_in",
    "results_table",
]

LOWER = ("loss", "error", "err", "perplexity", "ppl", "mse", "mae", "rmse", "wer", "per")
"""Words in the name of a column that show that lower is better."""


@dataclass(frozen=True, eq=False)
class Results:
    """The results of the trained networks."""

    values: "pd.Series[float]"
    """The result of each network by name: the mean over repeats, negated if lower is better."""
    noise: float
    """The pooled standard deviation between repeats of a network; nan without repeats."""
    left_out: int
    """The number of rows that are not used: without a value, or of an earlier epoch that is not
    needed."""
    early: "Mapping[int, pd.Series[float]]" = field(default_factory=dict)
    """For each earlier epoch at which the training of some networks ended, the values by name."""


def read_results(given: object, candidates: "pd.Index[str]", lower_is_better: bool) -> Results:
    """The results of trainings from a table with `name`, `value` and perhaps `seed` and `epoch`.

    The value is in the column `value`, or in the only other numeric column. Several rows with the
    same name are repeats, which are averaged. Only the last epoch of the table counts; the values
    of earlier epochs at which the training of other networks ended are returned separately.

    Raises ForetellError for names that are not among the candidates, for values that are not
    numbers, are infinite or have mixed units, and for a column that is probably a loss without
    `lower_is_better`.
    """
    table, column = results_table(given)
    refuse_unknown(table["name"], candidates)
    if not lower_is_better:
        refuse_direction(column)
        refuse_units(counting(table)["value"])
    return summarised(table, counting(table), -1.0 if lower_is_better else 1.0)


def results_in(folder: Path, candidates: "pd.Index[str]") -> Results:
    """The results of the candidates in the folder of a search or study, which may be none."""
    config = read_config(folder)
    if config["job"] != "search":
        return Results(pd.Series(dtype=float), np.nan, 0)
    table = results_of_search(config, current(RunRows(folder))[0])
    table = table[table["name"].isin(candidates)]
    full = table["epoch"] == full_epochs(config["training"])
    return summarised(table, table[full & np.isfinite(table["value"])], 1.0)


def summarised(table: pd.DataFrame, known: pd.DataFrame, sign: float) -> Results:
    """The results in a table with `name`, `value` and perhaps `epoch`, multiplied by `sign`.

    `known` has the rows of full trainings.
    """
    groups = known.groupby("name", sort=False)["value"]
    means = groups.mean() * sign
    free = len(known) - len(means)
    noise = float(np.sqrt(groups.var(ddof=0).mul(groups.size()).sum() / free)) if free else np.nan
    early = early_values(table, set(known["name"]))
    used = len(known) + sum(map(len, early.values()))
    means_early = {
        epoch: rows.groupby("name")["value"].mean() * sign for epoch, rows in early.items()
    }
    return Results(means, noise, len(table) - used, means_early)


def early_values(table: pd.DataFrame, full: set[str]) -> dict[int, pd.DataFrame]:
    """The rows of each epoch at which the training of a network that is not in `full` ended."""
    if "epoch" not in table:
        return {}
    known = table[np.isfinite(table["value"]) & np.isfinite(table["epoch"])]
    ends = known[~known["name"].isin(full)].groupby("name")["epoch"].max()
    return {int(epoch): known[known["epoch"] == epoch] for epoch in sorted(set(ends))}


def results_table(given: object) -> tuple[pd.DataFrame, str]:
    """The columns `name`, `value` and perhaps `seed` and `epoch`; and the value column's own
    name."""
    frame = as_frame("results", given)
    names, column = names_of("results", frame), value_column(frame)
    about = {name: numbers(frame[name], name) for name in ("seed", "epoch") if name in frame}
    values = numbers(frame[column], column)
    return pd.DataFrame({"name": names, "value": values, **about}), column


def counting(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the last epoch that have a value."""
    known: pd.DataFrame = table[np.isfinite(table["value"]) & last_epoch(table)]
    return known


def value_column(frame: pd.DataFrame) -> str:
    """The name of the column with the values."""
    if "value" in frame:
        return "value"
    about = {"name", "model", "arch", "seed", "epoch"}
    found = [str(name) for name in frame if name not in about and frame[name].dtype.kind in "iuf"]
    if len(found) != 1:
        raise ForetellError(
            f"results has the columns {', '.join(map(str, frame.columns))}; expected one called "
            "value, or a single one with numbers"
        )
    return found[0]


def numbers(values: "pd.Series[float]", name: str) -> "pd.Series[float]":
    """The values as numbers; empty values are nan. Raises ForetellError for infinite ones."""
    try:
        if any(isinstance(value, bool | np.bool_) for value in values):
            raise TypeError("True and False are not numbers")
        if values.dtype.kind == "c" or any(isinstance(value, complex) for value in values):
            raise TypeError("one is complex")
        found = values.astype(float)
    except (TypeError, ValueError) as error:
        raise ForetellError(
            f"the column {name!r} of results contains values that are not numbers ({error}); "
            "correct them"
        ) from error
    if np.isinf(found).any():
        raise ForetellError(
            f"the column {name!r} of results has an infinite number; leave out what has no value"
        )
    return found


def refuse_unknown(names: "pd.Series[str]", candidates: "pd.Index[str]") -> None:
    """Raise UnknownName for the first name that is not a candidate."""
    for name in map(str, names):
        if name not in candidates:
            said = f"results has {name!r}, which is not among the {len(candidates)} candidates"
            raise unknown_name("candidate", name, candidates, said)


def last_epoch(frame: pd.DataFrame) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    """Whether each row belongs to the last epoch; True for all rows if there are no epochs."""
    if "epoch" not in frame:
        return np.ones(len(frame), dtype=bool)
    epochs = numbers(frame["epoch"], "epoch").to_numpy()
    return np.asarray(epochs == np.nanmax(epochs, initial=-np.inf))


def is_lower_better(column: str) -> bool:
    """Whether a column is a loss or an error, judging by its name."""
    return bool(set(column.lower().replace("-", "_").split("_")) & set(LOWER))


def refuse_direction(column: str) -> None:
    """Raise ForetellError for a column that is probably a loss."""
    if is_lower_better(column):
        raise ForetellError(
            f"results has the column {column!r}, in which lower is probably better; pass "
            "lower_is_better=True (--lower-is-better), or call the column value"
        )


def refuse_units(values: "pd.Series[float]") -> None:
    """Raise ForetellError if some values are fractions and others are percentages."""
    fractions, percent = values[(values > 0) & (values < 1)], values[values > 1]
    inside = fractions[(100 * fractions >= percent.min()) & (100 * fractions <= percent.max())]
    if len(percent) and len(inside):
        raise ForetellError(
            f"results has {inside.iloc[0]:g} and {percent.iloc[0]:g}, which seem to be a fraction "
            "and a percentage; give all values in one unit"
        )
