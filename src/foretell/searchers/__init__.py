"""The registry of searchers: their names, sources and constructors.

To add one, create a file in this package with a class that implements `Searcher` and takes a space
and a seed, import it here, and add an entry to `SEARCHERS`. The tests in tests/searchers cover it
as soon as it is listed, alone and within `Warmup`.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from foretell.checks import as_function, as_integer, as_number, optional
from foretell.errors import ForetellError, unknown_name
from foretell.names import first_line
from foretell.searchers.evolution import AgingEvolution
from foretell.searchers.guided import Guided, Scores
from foretell.searchers.local import LocalSearch
from foretell.searchers.nsga2 import Costs, Nsga2
from foretell.searchers.predictor import Predictor
from foretell.searchers.random import RandomSearch
from foretell.searchers.reinforce import Reinforce
from foretell.searchers.searcher import Question, Searcher, distinct
from foretell.searchers.warmup import Warmup
from foretell.spaces.space import Space

__all__ = [
    "SEARCHERS",
    "AgingEvolution",
    "Guided",
    "LocalSearch",
    "Nsga2",
    "Predictor",
    "Question",
    "RandomSearch",
    "Reinforce",
    "Searcher",
    "SearcherEntry",
    "Warmup",
    "distinct",
    "make_searcher",
]


@dataclass(frozen=True)
class SearcherEntry:
    """A searcher and its metadata."""

    constructor: Callable[..., Searcher]
    source: str
    first: Callable[[int], int] | None = None
    """A function from the size of the pool of a warmup to the number of networks that are trained
    before the search starts; None for a searcher with its own warmup."""

    at_once: int = 4
    """The number of concurrent trainings; with more, the searcher learns less from each."""

    costs: bool = False
    """Whether the searcher optimises costs besides accuracy."""

    scores: bool = False
    """Whether the searcher uses all scores of a network, not only the one to choose by."""

    @property
    def summary(self) -> str:
        """The first line of the constructor's docstring."""
        return first_line(self.constructor)

    @property
    def settings(self) -> tuple[str, ...]:
        """The names of the searcher's settings."""
        names = tuple(inspect.signature(self.constructor).parameters)[2:]
        return tuple(name for name in names if name not in ("costs", "scores"))


SEARCHERS: dict[str, SearcherEntry] = {
    "random": SearcherEntry(
        RandomSearch,
        "Li & Talwalkar 2019, arXiv:1902.07638",
        first=lambda pool: pool,
        at_once=1_000,
    ),
    "aging_evolution": SearcherEntry(
        AgingEvolution, "Real et al. 2019, arXiv:1802.01548", first=lambda pool: min(pool, 64)
    ),
    "guided": SearcherEntry(
        Guided, "Jones et al. 1998, doi:10.1023/A:1008306431147, by scikit-learn", scores=True
    ),
    "local": SearcherEntry(
        LocalSearch, "White et al. 2021, arXiv:2005.02960", first=lambda pool: min(pool, 10)
    ),
    "nsga2": SearcherEntry(
        Nsga2, "Deb et al. 2002, doi:10.1109/4235.996017, by pymoo", at_once=20, costs=True
    ),
    "predictor": SearcherEntry(Predictor, "Dudziak et al. 2020, arXiv:2007.08668", at_once=20),
    "reinforce": SearcherEntry(Reinforce, "Zoph & Le 2017, arXiv:1611.01578"),
}


def make_searcher(
    name: str,
    space: Space,
    seed: int,
    /,
    *,
    warmup: int = 0,
    costs: Costs | None = None,
    scores: Scores | None = None,
    **settings: Any,
) -> Searcher:
    """Create a searcher by name, with a warmup on `warmup` scores.

    The warmup takes the form that arXiv:2101.08134 describes for each algorithm: random search
    trains the whole pool in the order of the scores, aging evolution starts from the best 64, local
    search from the best 10, and REINFORCE and the predictor are pretrained on the scores.
    `settings` are those of the searcher, such as `moves` of aging evolution and REINFORCE. `costs`
    gives the objectives besides accuracy, for a searcher that supports several; `scores` gives all
    scores of an architecture to a searcher that uses them, and is ignored by the others.

    Raises ForetellError for an unknown name, or a setting that the searcher does not have.

    >>> make_searcher("randon", None, 0)
    Traceback (most recent call last):
    foretell.errors.UnknownName: no searcher is called 'randon'; did you mean 'random'?
    >>> make_searcher("random", None, 0, moves=1)
    Traceback (most recent call last):
    foretell.errors.UnknownName: searcher random has no setting 'moves'; there are none
    """
    entry = _entry(name, settings)
    for what, function in {"costs": costs, "scores": scores}.items():
        optional(as_function)(f"{what} of searcher {name}", function, "a function")
    if costs is not None and not entry.costs:
        several = ", ".join(other for other in SEARCHERS if SEARCHERS[other].costs)
        raise ForetellError(f"searcher {name} does not optimise costs; use {several}")
    if type(warmup) is not int or warmup < 0:
        raise ForetellError(f"warmup is {warmup!r}; expected the number of networks to score first")
    if costs is not None:
        settings["costs"] = costs
    if scores is not None and entry.scores:
        settings["scores"] = scores
    try:
        if entry.first is None:
            return entry.constructor(space, seed, warmup=warmup, **settings)
        searcher = entry.constructor(space, seed, **settings)
    except (TypeError, OverflowError) as error:
        raise ForetellError(
            f"searcher {name} cannot be made with {settings}: {error}; change these settings"
        ) from error
    if not warmup:
        return searcher
    return Warmup(searcher, space, pool=warmup, first=entry.first(warmup), seed=seed)


MOST = 10_000_000
"""The largest value of a setting that counts something."""


def _entry(name: str, settings: Mapping[str, object]) -> SearcherEntry:
    """The entry of this name; raises ForetellError for an unknown name or setting.

    Settings must be of the type that the constructor states.
    """
    if name not in SEARCHERS:
        raise unknown_name("searcher", name, SEARCHERS)
    entry = SEARCHERS[name]
    parameters = inspect.signature(entry.constructor).parameters
    for setting, value in settings.items():
        if setting not in entry.settings:
            said = f"searcher {name} has no setting {setting!r}"
            raise unknown_name("setting", setting, entry.settings, said)
        if parameters[setting].annotation is int:
            as_integer(f"{setting} of searcher {name}", value, 0, MOST)
        elif parameters[setting].annotation is float:
            as_number(f"{setting} of searcher {name}", value)
    return entry
