"""The searchers: what each is called, where it comes from, what makes it.

To add one: a file beside this one with a class that has the members of `Searcher` and is made from
a space and a seed, an import, and a line in `SEARCHERS`. tests/test_searchers.py covers it as soon
as it is listed, alone and within `Warmup`.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass

from foretell.errors import ForetellError, did_you_mean
from foretell.searchers.random import RandomSearch
from foretell.searchers.searcher import Question, Searcher, distinct
from foretell.searchers.warmup import Warmup
from foretell.spaces.space import Space

__all__ = [
    "SEARCHERS",
    "Question",
    "RandomSearch",
    "Searcher",
    "SearcherEntry",
    "Warmup",
    "distinct",
    "make_searcher",
]


@dataclass(frozen=True)
class SearcherEntry:
    """A searcher and what is known of it."""

    constructor: Callable[[Space, int], Searcher]
    source: str

    @property
    def summary(self) -> str:
        """The first line of the constructor's docstring."""
        return (inspect.getdoc(self.constructor) or "").partition("\n")[0]


SEARCHERS: dict[str, SearcherEntry] = {
    "random": SearcherEntry(RandomSearch, "Li & Talwalkar 2019, arXiv:1902.07638"),
}


def make_searcher(name: str, space: Space, seed: int) -> Searcher:
    """The registered searcher of this name, fresh. Raises ForetellError for an unknown name.

    >>> make_searcher("randon", None, 0)
    Traceback (most recent call last):
    foretell.errors.ForetellError: no searcher is called 'randon'; did you mean 'random'?
    """
    if name not in SEARCHERS:
        raise ForetellError(f"no searcher is called {name!r}; {did_you_mean(name, SEARCHERS)}")
    return SEARCHERS[name].constructor(space, seed)
