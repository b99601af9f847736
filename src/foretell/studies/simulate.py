"""Simulate a search: its trainings are looked up in a table, and its scores are precomputed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from foretell.errors import unknown_name
from foretell.names import parse_spec
from foretell.searchers import Searcher, make_searcher
from foretell.spaces import Arch, Json, Space, Subset, make_space, size
from foretell.tables import Table

__all__ = ["Benchmark", "Simulated", "make_strategy", "simulate"]

AT_ONCE = 1_000
"""The number of scores requested at a time; looking them up costs nothing."""


@dataclass(frozen=True)
class Simulated:
    """The trainings of a search, in order."""

    trained: tuple[int, ...]
    """The trained networks, as positions of rows of the table."""
    scored: tuple[int, ...]
    """The number of networks scored before each training; isomorphic networks count once."""


@dataclass(frozen=True, eq=False)
class Benchmark:
    """A table and scores for simulated searches.

    `scores` is indexed by the table's keys; higher is better. One score per class of isomorphic
    architectures is enough. If the table contains only a part of its space, the search is
    restricted to that part (`foretell.spaces.Subset`).
    """

    table: Table
    scores: "pd.Series[float]"
    settings: Mapping[str, Json] = field(default_factory=dict)
    """The settings of the space."""

    @cached_property
    def space(self) -> Space:
        """The space of the table, or the part of it that has both rows and scores."""
        if len(self.rows) >= size(self._whole):
            return self._whole
        return Subset(self._whole, list(self.rows))

    @cached_property
    def rows(self) -> dict[Arch, int]:
        """The position in the table of each architecture whose isomorphism class has a score."""
        archs = [self._whole.parse(str(key)) for key in self.table.frame.index]
        return {arch: row for row, arch in enumerate(archs) if self._class(arch) in self._by_class}

    @cached_property
    def score(self) -> dict[Arch, float]:
        """The score of each architecture."""
        return {arch: self._by_class[self._class(arch)] for arch in self.rows}

    @cached_property
    def _by_class(self) -> dict[Arch, float]:
        return {
            self._class(self._whole.parse(str(key))): float(value)
            for key, value in self.scores.items()
        }

    @cached_property
    def _whole(self) -> Space:
        return make_space(self.table.space, dict(self.settings))

    def _class(self, arch: Arch) -> Arch:
        return self._whole.canonical(arch)

    def told(self, column: str) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
        """The values of a column, negated if lower is better; nan if nothing was measured.

        Raises ForetellError for a column that the table does not have.
        """
        if column not in (*self.table.choosing, *self.table.reporting):
            known = [*self.table.choosing, *self.table.reporting]
            said = f"table {self.table.name} has no accuracy {column!r}"
            raise unknown_name("column", column, known, said)
        sign = -1 if column in self.table.lower_is_better else 1
        return sign * self.table.frame[column].to_numpy(dtype=float)


def make_strategy(text: str, space: Space, seed: int) -> Searcher:
    """The searcher that a text such as `aging_evolution?warmup=3000` describes.

    Raises ForetellError for an unknown searcher or setting.
    """
    name, settings = parse_spec(text)
    return make_searcher(name, space, seed, **settings)


def simulate(
    benchmark: Benchmark, strategy: str, told: str, trainings: int, seed: int
) -> Simulated:
    """Run a search of `trainings` trainings, whose results are the values of the column `told`.

    The search ends early if the searcher has no questions left.

    >>> frame = pd.DataFrame({"val": [70.0, 60.0, 80.0]}, ["000000", "111111", "333333"])
    >>> table = Table("mine", "nb201", frame, choosing=("val",))
    >>> scores = pd.Series([1.0, 2.0, 3.0], frame.index)
    >>> found = simulate(Benchmark(table, scores), "random?warmup=3", "val", 2, seed=0)
    >>> found.trained, found.scored
    ((2, 1), (3, 3))
    """
    space, rows, score = benchmark.space, benchmark.rows, benchmark.score
    value = benchmark.told(told)
    searcher = make_strategy(strategy, space, seed)
    trained: list[int] = []
    counted: list[int] = []
    scored: set[Arch] = set()
    while len(trained) < trainings and (asked := searcher.ask(1)):
        if asked[0].kind == "train":
            searcher.tell(asked[0], float(value[rows[asked[0].arch]]))
            trained.append(rows[asked[0].arch])
            counted.append(len(scored))
            continue
        for question in searcher.ask(AT_ONCE):
            if question.kind == "score":
                searcher.tell(question, score[question.arch])
                scored.add(space.canonical(question.arch))
    return Simulated(tuple(trained), tuple(counted))


def best_so_far(told: Sequence[float], reported: Sequence[float]) -> "list[float]":
    """The reported value, after each training, of the network with the highest result so far.

    >>> best_so_far([1.0, 3.0, 2.0], [10.0, 20.0, 30.0])
    [10.0, 20.0, 20.0]
    """
    best = -np.inf
    shown = np.nan
    found = []
    for value, report in zip(told, reported, strict=True):
        if value > best:
            best, shown = value, report
        found.append(shown)
    return found
