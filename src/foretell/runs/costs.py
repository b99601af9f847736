"""The costs of the architectures of a run, each measured once and stored as a row."""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import pandas as pd

from foretell.batch import Batch
from foretell.proxies import PROXIES
from foretell.runs.evaluate import Evaluator
from foretell.runs.rows import CostRow, add, find
from foretell.runs.tasks import one_thread
from foretell.runs.work import Work
from foretell.scoring.costs import COSTS
from foretell.spaces import Arch, Fits, Space
from foretell.tables import read_table

__all__ = ["CostBook", "Costs", "column_of"]

SAMPLES = 2
"""The number of samples in the forward passes; batch normalisation requires at least two."""


@dataclass(frozen=True, eq=False)
class Costs:
    """The costs of architectures, each named by an entry of `COSTS` or as `TABLE:COLUMN`."""

    work: Work

    def cost(self, name: str, arch: Arch) -> float:
        """The cost, measured now or read from the table; nan if the table has none.

        Raises ForetellError if the table has no such column.
        """
        return self._measured(name, arch) if name in COSTS else self._from_table(name, arch)

    def _measured(self, name: str, arch: Arch) -> float:
        work, batch = self.work, self._batch
        fed = work.space.fit(arch, batch) if isinstance(work.space, Fits) else batch
        with one_thread():
            model = work.space.build(arch, work.seed).to(work.device)
            return COSTS[name].measure(model, fed.each(lambda tensor: tensor.to(work.device)))

    @cached_property
    def _batch(self) -> Batch:
        return self.work.batch[:SAMPLES]

    def _from_table(self, name: str, arch: Arch) -> float:
        return float(self._column(name).get(self.work.space.format(arch), math.nan))

    def _column(self, name: str) -> "pd.Series[float]":
        if name not in self._columns:
            self._columns[name] = column_of(name, self.work.space).values
        return self._columns[name]

    @cached_property
    def _columns(self) -> "dict[str, pd.Series[float]]":
        return {}


@dataclass(frozen=True, eq=False)
class CostBook:
    """The costs and scores of a run's architectures, each stored as a row."""

    evaluator: Evaluator

    def cost(self, name: str, arch: Arch) -> float:
        """The stored cost; if it is missing, it is measured, and stored unless it is nan.

        Raises ForetellError as `Costs.cost` does.
        """
        store, work = self.evaluator.store, self.evaluator.work
        device = {"device": work.device} if name == "latency" else {}
        code = work.code.of_network(work.space, arch) | work.code.named(f"cost {name}")
        asked = CostRow(self.evaluator.network(arch), name, device, code=code)
        if (row := find(store, asked)) is None:
            row = replace(asked, value=self._costs.cost(name, arch))
            if not math.isnan(row.value):
                add(store, row)
        return row.value

    def scores(self, arch: Arch) -> dict[str, float]:
        """All stored scores of a scored architecture, oriented so that higher is better."""
        found = self.evaluator.scores(arch)
        return {
            name: one.value if PROXIES[name].higher_is_better else -one.value
            for name, one in found.items()
        }

    @cached_property
    def _costs(self) -> Costs:
        return Costs(self.evaluator.work)


@dataclass(frozen=True, eq=False)
class Column:
    """A column of costs in an imported table."""

    values: "pd.Series[float]"
    """The costs, indexed by the text of the architecture."""
    checksum: str
    """The first sixteen digits of the table's checksum."""


def column_of(name: str, space: Space) -> Column:
    """The column of costs that `TABLE:COLUMN` names.

    Raises ForetellError if the space has no such table, or the table no such column of costs.
    """
    path, _, column = name.rpartition(":")
    table = read_table(path, space=space.name)
    return Column(table.cost_of(column), table.checksum[:16])
