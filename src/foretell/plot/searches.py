"""Charts of a search: its progress, its scores, and what it found."""

import os
from typing import TypeAlias

from foretell.checks import as_choice, as_path
from foretell.errors import ForetellError, unknown_name
from foretell.plot.drawing import Drawing, figure_of
from foretell.rankings import is_ranking
from foretell.report.search import (
    choices,
    front_of,
    how_soon,
    networks,
    scores_figures,
    trade_offs,
)
from foretell.searching.outcome import Outcome
from foretell.searching.read import Found, read_search

__all__ = ["curve", "front", "learning", "options", "pool"]

Search: TypeAlias = Outcome | str | os.PathLike[str]
"""The outcome of a search, or the folder of one, finished or not."""

AXES = {"trainings": "curves", "seconds": "seconds"}
"""What progress is drawn against, and the figure of the report."""


def trained(outcome: Search) -> Found:
    """The rows of a search. Raises ForetellError if it has trained nothing yet."""
    folder = outcome.folder if isinstance(outcome, Outcome) else as_path("outcome", outcome)
    found = read_search(folder)
    if found.best.empty:
        raise ForetellError(f"{folder} has no results yet; resume it with `foretell search`")
    return found


def curve(outcome: Search, across: str = "trainings") -> Drawing:
    """Draw the best result so far of each arm of a search, against `trainings` or `seconds`.

    `outcome` is what `foretell.search` returns, or the folder of a search, finished or not.
    """
    name = AXES[as_choice("across", across, AXES)]
    return figure_of(how_soon(trained(outcome)), name, "the search has no results yet")


def learning(outcome: Search) -> Drawing:
    """Draw the result of each training by epoch. Raises ForetellError for trainings of one epoch.

    `outcome` is what `foretell.search` returns, or the folder of a search.
    """
    absent = "no training has more than one epoch, so there are no learning curves to draw"
    return figure_of(networks(trained(outcome)), "learning", absent)


def pool(outcome: Search, score: str | None = None) -> Drawing:
    """Draw the distribution of a score over the pool, with a tick for each trained network.

    `outcome` is what `foretell.search` returns, or the folder of a search; `score` is by default
    the proxy that the search chose by. Raises ForetellError if the score does not differ.
    """
    found = trained(outcome)
    name = found.config["by"] if score is None else score
    if name not in found.pool:
        said = f"{name} is a ranking, which has no values of its own" if is_ranking(name) else ""
        raise unknown_name("score", str(name), list(map(str, found.pool)), said)
    absent = f"{name} has fewer than three values over the pool; draw another score"
    return figure_of(scores_figures(found, name), "pool", absent)


def options(outcome: Search) -> Drawing:
    """Draw the results of trained networks by option of each choice of the space.

    `outcome` is what `foretell.search` returns, or the folder of a search. Raises ForetellError if
    the space does not write architectures as options, such as `depth=4,width=8`.
    """
    absent = "the architectures of this space are not written as options such as depth=4,width=8"
    return figure_of(choices(trained(outcome)), "options", absent)


def front(outcome: Search, cost: str = "params") -> Drawing:
    """Draw the results of trained networks against a cost, with the Pareto front of each arm.

    `outcome` is what `foretell.search` returns, or the folder of a search; `cost` is one that the
    search minimised or, if it minimised none, params.
    """
    found = trained(outcome)
    absent = f"the search has no values of the cost {cost!r}; name one that it minimised"
    return figure_of(trade_offs(found), front_of(cost), absent)
