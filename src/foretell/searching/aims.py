"""What a search looks for beside accuracy, and by which searcher."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from foretell.errors import ForetellError
from foretell.names import parse_spec
from foretell.runs.costs import CostBook, column_of
from foretell.scoring.costs import COSTS, require_cost
from foretell.searchers import SEARCHERS, Searcher, make_searcher
from foretell.spaces import Arch, Space


@dataclass(frozen=True)
class Aims:
    """What searches, and for what beside accuracy."""

    text: str
    """The searcher as it was asked for, `name?setting=value`."""
    name: str
    settings: Mapping[str, Any]
    against: tuple[str, ...]
    limits: Mapping[str, float]

    @classmethod
    def of(
        cls, searcher: str, against: Sequence[str], limits: Mapping[str, float], space: Space
    ) -> "Aims":
        """Raises ForetellError for a searcher, cost or limit that can't be used."""
        name, settings = parse_spec(searcher)
        for taken, option in (("warmup", "pool"), ("costs", "against")):
            if taken in settings:
                raise ForetellError(
                    f"searcher {name} has no setting {taken!r} here; it is what `{option}` says"
                )
        weighs = name in SEARCHERS and SEARCHERS[name].costs
        for cost in (*against, *limits):
            require_cost(cost)
            if cost not in COSTS:
                column_of(cost, space)
        weighed = tuple(against or (("params",) if weighs else ()))
        return cls(searcher, name, settings, weighed, dict(limits))

    @property
    def at_once(self) -> int:
        """How many trainings may be under way."""
        return SEARCHERS[self.name].at_once

    def searcher(self, space: Space, seed: int, warmup: int, book: CostBook | None) -> Searcher:
        """Fresh; without a warmup it has no help at all. Without a book nothing costs anything."""
        settings = {k: v for k, v in self.settings.items() if warmup or k != "moves"}

        def costs(arch: Arch) -> list[float]:
            return [0.0 if book is None else book.cost(name, arch) for name in self.against]

        weighed = costs if self.against else None
        return make_searcher(self.name, space, seed, warmup=warmup, costs=weighed, **settings)

    def configuration(self) -> dict[str, Any]:
        """What a run folder says of it, where there is anything beside accuracy."""
        given = {"against": list(self.against), "limits": dict(self.limits)}
        return {name: value for name, value in given.items() if value}
