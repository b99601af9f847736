"""The method of a search: its searcher, costs and limits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from foretell.checks import as_mapping, as_number, as_text, as_texts, optional
from foretell.errors import ForetellError
from foretell.names import parse_spec
from foretell.runs.costs import CostBook, column_of
from foretell.scoring.costs import COSTS, require_cost
from foretell.searchers import SEARCHERS, Searcher, make_searcher
from foretell.spaces import Arch, Space
from foretell.user_source import source_digest


@dataclass(frozen=True)
class Method:
    """A searcher with its settings, the costs that it minimises, and the limits on costs."""

    text: str
    """The searcher as it was given, `name?setting=value`."""
    name: str
    settings: Mapping[str, Any]
    against: tuple[str, ...]
    limits: Mapping[str, float]
    code: Mapping[str, str] = field(default_factory=dict)
    """The digests of the searcher, empty for foretell's, and of the tables of costs, by name."""

    @classmethod
    def of(
        cls, searcher: str, against: Sequence[str], limits: Mapping[str, float] | None, space: Space
    ) -> "Method":
        """Check these arguments and combine them into a method.

        Raises ForetellError for a searcher, cost or limit that cannot be used.
        """
        name, settings = parse_spec(as_text("searcher", searcher, "the name of a searcher"))
        against = as_texts("against", against, "names of costs")
        limits = optional(as_mapping)("limits", limits, "a dict of numbers by costs") or {}
        for taken, option in (("warmup", "pool"), ("costs", "against"), ("scores", "proxies")):
            if taken in settings:
                raise ForetellError(
                    f"searcher {name} has no setting {taken!r} here; use the option {option!r}"
                )
        known = SEARCHERS[name].constructor if name in SEARCHERS else None
        code = {f"searcher {name}": source_digest(known)}
        by_default = ("params",) if name in SEARCHERS and SEARCHERS[name].costs else ()
        for cost in (*against, *limits):
            require_cost(cost)
            if cost not in COSTS:
                code[f"cost {cost}"] = column_of(cost, space).checksum
        checked = {cost: as_number(f"limits[{cost!r}]", most) for cost, most in limits.items()}
        return cls(searcher, name, settings, tuple(against or by_default), checked, code)

    @property
    def columns(self) -> tuple[str, ...]:
        """The costs that are columns of tables, which may lack some networks."""
        return tuple(name for name in (*self.against, *self.limits) if name not in COSTS)

    @property
    def at_once(self) -> int:
        """The number of concurrent trainings."""
        return SEARCHERS[self.name].at_once

    @property
    def learns_from_all(self) -> bool:
        """Whether the searcher uses all scores, so that no single one is chosen by."""
        return self.name in SEARCHERS and SEARCHERS[self.name].scores

    def searcher(self, space: Space, seed: int, warmup: int, book: CostBook | None) -> Searcher:
        """A new searcher; with `warmup` 0 it uses no scores, and without `book` all costs are 0."""
        settings = {k: v for k, v in self.settings.items() if warmup or k != "moves"}

        def costs(arch: Arch) -> list[float]:
            return [0.0 if book is None else book.cost(name, arch) for name in self.against]

        objectives = costs if self.against else None
        scores = None if book is None else book.scores
        return make_searcher(
            self.name, space, seed, warmup=warmup, costs=objectives, scores=scores, **settings
        )

    def configuration(self) -> dict[str, Any]:
        """The costs and limits as part of a run's configuration; empty if there are none."""
        given = {"against": list(self.against), "limits": dict(self.limits)}
        return {name: value for name, value in given.items() if value}
