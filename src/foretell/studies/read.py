"""Read the rows of a study, finished or not, as data frames."""

import html
import math
import os
import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foretell.errors import ForetellError, RunStateError
from foretell.runs.cells import Cells
from foretell.runs.code import current
from foretell.runs.config import read_config
from foretell.runs.rows import ReducedRow, ScoreRow, rows_of, versions
from foretell.runs.store import RunRows
from foretell.spaces import Space, make_space
from foretell.studies.kept import kept_table
from foretell.tables import Table

__all__ = ["Rows", "read_study"]


def drawn(table: Table, space: Space, seed: int, count: int | None) -> Iterator[tuple[str, str]]:
    """Yield keys of the table in random order, one per isomorphism class, with canonical texts.

    A larger sample begins with the smaller one.
    """
    keys = sorted(map(str, table.frame.index))
    random.Random(seed).shuffle(keys)
    seen: set[Any] = set()
    for key in keys:
        if count is not None and len(seen) >= count:
            return
        canonical = space.canonical(space.parse(key))
        if canonical not in seen:
            seen.add(canonical)
            yield key, space.format(canonical)


@dataclass(frozen=True, eq=False, repr=False)
class Rows:
    """The rows of a study as data frames indexed by the table's keys."""

    config: dict[str, Any]
    table: Table
    runs: list[pd.DataFrame]
    """One frame per repeat: one row per architecture, one column per proxy; nan if undefined."""
    why: dict[str, dict[str, int]]
    """The number of undefined scores over all repeats, by proxy and reason."""
    reduced: pd.DataFrame
    """One column per reduced training with its validation accuracies, by the same keys."""
    seconds: "pd.Series[float]"
    """The mean seconds by proxy or reduced training; shared passes count in full for each proxy."""
    minibatches: dict[str, int]
    """The number of minibatches that each reduced training processed."""
    made_with: list[str]
    """The versions of foretell and its dependencies that computed the rows."""
    left_out: str = ""
    """A note on how many rows of another version of the user's code are left out; empty if none."""

    def __repr__(self) -> str:
        """The table and how many networks were scored; the scores would take pages."""
        count, scores = len(self.runs[0]), ", ".join(map(str, self.runs[0]))
        return f"Rows of {count:,} networks of {self.table.name} by {scores}"

    def _repr_html_(self) -> str:
        """The scores of the first repeat, for notebooks."""
        return f"<p>{html.escape(repr(self))}</p>\n{self.runs[0].head().to_html()}"


def read_study(run: str | os.PathLike[str]) -> Rows:
    """Read the rows of a study, finished or not, from its run folder alone.

    Raises RunStateError if the folder is not a study or contains no scores yet.
    """
    config = read_config(run, "study")
    table = kept_table(Path(run))
    every, left_out = current(RunRows(run))
    scores, trained, made_with = Scores(), list[ReducedRow](), set[str]()
    for stored in every:
        made_with.update(versions([stored]))
        trained += rows_of(ReducedRow, [stored])
        for row in rows_of(ScoreRow, [stored]):
            scores.add(row)
    if not scores.values:
        said = f"{run} contains no scores yet; resume it with `foretell study`"
        raise RunStateError(said, Path(run), "unfinished")
    keys = keys_of(table, config, scores.archs())
    runs = complete([scores.frame(seed, keys) for seed in sorted(scores.values)])
    reduced = reduced_frame(trained, keys).reindex(runs[0].index)
    took = scores.mean_seconds()
    for name in reduced:
        took[str(name)] = float(np.mean([row.seconds for row in trained if row.reduced == name]))
    minibatches = {row.reduced: row.minibatches for row in trained}
    about = (scores.why, reduced, took, minibatches, sorted(made_with), left_out)
    return Rows(config, table, runs, *about)


class Scores:
    """The scores of a study, collected one by one."""

    def __init__(self) -> None:
        self.values: dict[int, Cells] = {}
        """The scores of each repeat, by its seed."""
        self.seconds: dict[int, Cells] = {}
        """The seconds of each score, which are never nan."""
        self.why: dict[str, dict[str, int]] = {}
        """The number of undefined scores by proxy and reason."""

    def add(self, row: ScoreRow) -> None:
        """Add a score. Raises ForetellError if the study already has one of the same name."""
        seed, name = row.network.seed, row.network.arch
        seconds = self.seconds.setdefault(seed, Cells())
        if not math.isnan(seconds.get(name, row.proxy, math.nan)):
            raise ForetellError(
                f"the study has two scores of {name} by {row.proxy}, which have other settings; "
                "score with other settings in another --run folder"
            )
        seconds.put(name, row.proxy, row.score.seconds)
        self.values.setdefault(seed, Cells()).put(name, row.proxy, row.score.value)
        if why := row.score.why:
            of_proxy = self.why.setdefault(row.proxy, {})
            of_proxy[why] = of_proxy.get(why, 0) + 1

    def archs(self) -> set[str]:
        """The architectures that have a score."""
        return {name for cells in self.values.values() for name in cells.names}

    def frame(self, seed: int, keys: Mapping[str, str]) -> pd.DataFrame:
        """The scores of one repeat by the table's keys; only architectures with all scores."""
        there = self.seconds[seed].frame().notna().all(axis=1)
        whole = self.values[seed].frame().loc[there].sort_index()
        return whole.set_axis(pd.Index([keys[arch] for arch in whole.index], name="arch"))

    def mean_seconds(self) -> "pd.Series[float]":
        """The mean seconds of each proxy."""
        each = pd.concat([cells.frame() for cells in self.seconds.values()])
        return each.mean().rename("seconds").rename_axis("proxy")


def reduced_frame(rows: Sequence[ReducedRow], keys: Mapping[str, str]) -> pd.DataFrame:
    """Validation accuracies of reduced trainings by the table's keys; nan if one diverged."""
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        if row.network.arch in keys:
            found.setdefault(row.reduced, {})[keys[row.network.arch]] = row.value
    return pd.DataFrame(found, dtype=float)


def keys_of(table: Table, config: Mapping[str, Any], scored: Collection[str]) -> dict[str, str]:
    """The drawn key of the table for each canonical text."""
    about = config["space"]
    if about["name"] == "models":
        return {name: name for name in scored}
    space = make_space(about["name"], about["settings"])
    found: dict[str, str] = {}
    for key, canonical in drawn(table, space, config["seed"], None):
        if canonical in scored:
            found[canonical] = key
        if len(found) == len(scored):
            break
    return found


def complete(runs: list[pd.DataFrame]) -> list[pd.DataFrame]:
    """The repeats that have all architectures and proxies of the first one, restricted to these."""
    first = runs[0]
    return [
        run.loc[first.index, first.columns]
        for run in runs
        if set(first.index) <= set(run.index) and set(first.columns) <= set(run.columns)
    ]
