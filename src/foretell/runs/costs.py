"""What architectures of a run cost, each measured once and kept as a row."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import pandas as pd

from foretell.batch import Batch
from foretell.errors import ForetellError
from foretell.runs.evaluate import Evaluator
from foretell.runs.tasks import one_thread
from foretell.scoring.costs import COSTS
from foretell.spaces import Arch, Fits, Space
from foretell.tables import read_table

__all__ = ["CostBook", "column_of"]

SAMPLES = 2
"""Of the minibatch, for the forward passes; batch normalisation needs two."""


@dataclass(frozen=True, eq=False)
class CostBook:
    """Answers what an architecture costs, by the name of a cost or `TABLE:COLUMN`."""

    evaluator: Evaluator

    def cost(self, name: str, arch: Arch) -> float:
        """The stored cost, or else what is measured now, or the table says.

        Raises ForetellError if the table has no such column or no value for the architecture.
        """
        key = self._key(name, arch)
        row = self.evaluator.store.get(key)
        if row is None:
            value = self._measured(name, arch) if name in COSTS else self._from_table(name, arch)
            self.evaluator.store.add({"key": key, "value": value})
            return value
        return float(row["value"])

    def _key(self, name: str, arch: Arch) -> dict[str, Any]:
        key = {"kind": "cost", "cost": name, **self.evaluator.network(arch)}
        return key | {"device": self.evaluator.work.device} if name == "latency" else key

    def _measured(self, name: str, arch: Arch) -> float:
        work, batch = self.evaluator.work, self._batch
        fed = work.space.fit(arch, batch) if isinstance(work.space, Fits) else batch
        with one_thread():
            model = work.space.build(arch, work.seed).to(work.device)
            return COSTS[name].measure(model, fed.each(lambda tensor: tensor.to(work.device)))

    @cached_property
    def _batch(self) -> Batch:
        return self.evaluator.work.batch[:SAMPLES]

    def _from_table(self, name: str, arch: Arch) -> float:
        space = self.evaluator.work.space
        text = space.format(arch)
        try:
            return float(column_of(name, space).loc[text])
        except KeyError:
            raise ForetellError(f"{name} has no value for {text}; limit another cost") from None


def column_of(name: str, space: Space) -> "pd.Series[float]":
    """What `TABLE:COLUMN` says of each architecture.

    Raises ForetellError if there is no such table of the space, or no such column of costs.
    """
    return read_column(name, space.name)


@lru_cache(maxsize=8)
def read_column(name: str, space: str) -> "pd.Series[float]":
    """Read once a process."""
    table, _, column = name.rpartition(":")
    return read_table(table, space=space).cost_of(column)
