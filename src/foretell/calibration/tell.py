"""Add results of trainings that were done elsewhere to a search."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foretell.calibration.results import counting, is_lower_better, refuse_units, results_table
from foretell.checks import as_path
from foretell.errors import ForetellError, any_error, complaint_of
from foretell.runs.code import Code
from foretell.runs.config import read_config
from foretell.runs.costs import column_of
from foretell.runs.rowlog import canonical
from foretell.runs.rows import ToldRow, TrainRow, add, rows_of
from foretell.runs.space import space_of
from foretell.runs.store import RunRows, Store
from foretell.scoring.costs import COSTS
from foretell.spaces import Arch, Space

__all__ = ["Told", "tell"]


@dataclass(frozen=True)
class Told:
    """The result of `tell`."""

    names: tuple[str, ...]
    """The architectures with results that were new to the search."""
    known: int
    """The number of results that the search already had."""
    left_out: int
    """The number of rows that were ignored: without a value, or of an earlier epoch than the
    last."""


def tell(run: str | os.PathLike[str], results: object, *, space: str | Space | None = None) -> Told:
    """Add results of trainings that were done elsewhere to the folder of a search.

    `results` is a table, or a CSV, JSON or Parquet file, with the columns `name` (the text of an
    architecture) and `value`, and `seed` and `epoch` if there are several; or a dict of names and
    values. Only the last epoch of the table counts, and several seeds are averaged. The values must
    have the unit and direction of the search: losses if it was started with `lower_is_better`. A
    space of your own must be given again, as an object or as `FILE.py:NAME`.

    The next call of `foretell.search` with this folder, with the same or more trainings, learns
    from these results and does not train their networks. A result that is already known is not
    added again. Returns the new architectures and how many results were known or ignored.

    Raises ForetellError for names that are not architectures of the space, for duplicates, and for
    values that are not numbers, have another unit or direction, or contradict an earlier result;
    RunStateError if the folder does not contain a search, or if the search is running. In these
    cases, nothing is added.

    >>> from tempfile import TemporaryDirectory
    >>> from torch import nn
    >>> from foretell import Choices, TrainSettings, search
    >>> def mlp(width):
    ...     layers = nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10)
    ...     return nn.Sequential(nn.Flatten(), *layers)
    >>> space = Choices(mlp, {"width": [4, 8, 16]})
    >>> few = {"by": "params", "proxies": ["params"], "pool": 3, "trainings": 1}
    >>> with TemporaryDirectory() as folder:
    ...     run, training = f"{folder}/run", TrainSettings(epochs=1)
    ...     found = search(space, "digits", run=run, training=training, **few)
    ...     tell(run, {"width=8": 91.5}, space=space)
    Told(names=('width=8',), known=0, left_out=0)
    """
    folder = as_path("run", run)
    config = read_config(folder, "search")
    refuse_first_stage(folder, config)
    about = {"space": config["space"]["name"], "settings": config["space"]["settings"]}
    built = space_of(about, space)
    table, column = results_table(results)
    counted = counting(table)
    before = RunRows(folder)
    refuse_other_direction(column, config["training"], folder)
    found = told_rows(counted, built)
    refuse_without_costs(found, config.get("against", ()), built)
    refuse_other_unit(counted["value"], config["training"], rows_of(TrainRow, before))
    earlier = {canonical(row.key()): row.value for row in rows_of(ToldRow, before)}
    new = [row for row in found if is_new(row, earlier)]
    # The store is opened even if nothing is new, to finish a command that was killed.
    with Store.open(folder, config) as store, store.group():
        for row in new:
            add(store, row)
    names = tuple(dict.fromkeys(row.arch for row in new))
    return Told(names, len(found) - len(new), len(table) - len(counted))


def refuse_first_stage(folder: Path, config: Mapping[str, Any]) -> None:
    """Raise ForetellError if the search learns from trainings of another length."""
    if config.get("first_stage"):
        raise ForetellError(
            f"{folder} has the first stage {config['first_stage']}, from whose short trainings its "
            "searcher learns; add results to a search without --first-stage"
        )


def told_rows(table: pd.DataFrame, space: Space) -> list[ToldRow]:
    """The rows to store. Raises ForetellError for unknown names and duplicates."""
    rows: dict[str, ToldRow] = {}
    columns = table["name"], whole(table, "seed"), whole(table, "epoch"), table["value"]
    code = Code.of_space(space)
    for name, seed, epoch, value in zip(*columns, strict=True):
        arch = parsed(space, str(name))
        network = space.name, space.settings(), space.format(arch)
        row = ToldRow(*network, seed, epoch, float(value), code.of_network(space, arch))
        if (key := canonical(row.key())) in rows:
            raise ForetellError(
                f"results has {name!r} twice; number repeated trainings in a column seed"
            )
        rows[key] = row
    return list(rows.values())


def parsed(space: Space, name: str) -> Arch:
    """The architecture with this text. Raises ForetellError if the space does not contain it."""
    try:
        return space.parse(name)
    except any_error() as error:
        reason = str(error) if isinstance(error, ForetellError) else complaint_of(error)
        raise ForetellError(
            f"results has {name!r}, which is not a network of space {space.name}: {reason}"
        ) from error


MOST = 2**53
"""The largest integer up to which float64 represents every integer."""


def whole(table: pd.DataFrame, name: str) -> list[int | None]:
    """The integers of a column, with None for missing values."""
    if name not in table:
        return [None] * len(table)
    values = table[name].to_numpy()
    odd = ~np.isnan(values) & ((values != np.floor(values)) | (values < 0) | (values > MOST))
    if odd.any():
        raise ForetellError(
            f"the column {name} of results has {values[odd][0]:g}; expected integers from 0 to "
            "2**53"
        )
    return [None if np.isnan(value) else int(value) for value in values]


def refuse_other_direction(column: str, training: Mapping[str, Any], folder: Path) -> None:
    """Raise ForetellError if the column has another direction than the values of the search."""
    if is_lower_better(column) and not training.get("lower_is_better"):
        raise ForetellError(
            f"results has the column {column!r}, in which lower is probably better, but {folder} "
            "maximises; give the values that the search maximises, or call the column value"
        )
    if "acc" in column.lower() and training.get("lower_is_better"):
        raise ForetellError(
            f"results has the column {column!r}, in which higher is probably better, but {folder} "
            "minimises; give the values that the search minimises, or call the column value"
        )


def refuse_other_unit(
    values: "pd.Series[float]", training: Mapping[str, Any], trained: list[TrainRow]
) -> None:
    """Raise ForetellError if the values have another unit than those of the search."""
    if training.get("lower_is_better"):
        return
    if "budget" in training:  # a training of the user's own
        own = [row.trained.val_accuracy for row in trained]
        refuse_units(pd.concat([pd.Series(own, dtype=float).dropna(), values]))
    elif len(values) and not (values.between(0, 100).all() and values.max() > 1):
        odd = values[~values.between(0, 100)]
        raise ForetellError(
            f"results has {(odd if len(odd) else values).iloc[0]:g}; the accuracies of this search "
            "are percentages, so give the results in %"
        )


def refuse_without_costs(rows: list[ToldRow], against: Sequence[str], space: Space) -> None:
    """Raise ForetellError for a network whose costs the search cannot know."""
    for name in against:
        if name in COSTS:
            continue
        known = set(column_of(name, space).values.dropna().index)
        for row in rows:
            if row.arch not in known:
                raise ForetellError(
                    f"results has {row.arch!r}, of which {name}, a cost of the search, has no "
                    "value; leave it out"
                )


def is_new(row: ToldRow, earlier: Mapping[str, float]) -> bool:
    """Whether a result is new. Raises ForetellError if it contradicts a known one."""
    known = earlier.get(canonical(row.key()))
    if known is not None and known != row.value:
        raise ForetellError(
            f"results has {row.value:g} for {row.arch!r}, but {known:g} was added before; if it is "
            "another training, give it another number in a column seed"
        )
    return known is None
