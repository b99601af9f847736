"""Charts of how scores agree with results, and with each other."""

from collections.abc import Sequence

import pandas as pd

from foretell.checks import as_choice, as_texts
from foretell.errors import ForetellError
from foretell.plot.compared import Compared, Source, Truth, compared, scores_in
from foretell.plot.drawing import Drawing, drawing_of
from foretell.report.study import best_of_each_kind, with_prices
from foretell.report.study_charts import (
    agreement_chart,
    agreements,
    first_k,
    first_k_chart,
    forest,
    scatter_of,
    small_multiples,
)
from foretell.report.study_charts import cost as cost_chart

__all__ = ["agreement", "correlations", "cost", "panels", "scatter", "top_k"]

AXES = {"precision": "precision at k", "regret": "regret of the first k"}


def scatter(
    source: Source, score: str, *, truth: Truth = None, lower_is_better: bool = False
) -> Drawing:
    """Draw a score against the results, one point per network, below Spearman's ρ.

    In ρ, networks for which the score is undefined rank last; they have no point.

    `source` contains scores: the folder of a study or search, the `Outcome` of a search, or a
    DataFrame as `foretell.rank` returns it. `truth` contains results. For a study, it is a column
    of its table, by default the first that `foretell.judge` takes. For a DataFrame, it is the name
    of one of its columns, or a dict, Series or table of results by name, of which
    `lower_is_better` says that they are losses or errors. A search has its own results.

    Raises ForetellError for results without scores, and UnknownName for a score that is absent.

    >>> scores = pd.DataFrame({"snip": [1.0, 3.0, 2.0]}, ["a", "b", "c"])
    >>> chart = scatter(scores, "snip", truth={"a": 90.0, "b": 92.0, "c": 93.0})
    >>> chart.to_dict()["title"]["text"]
    'snip: ρ = 0.50, n = 3'
    """
    found = compared(source, truth, lower_is_better)
    return drawing_of(scatter_of(found.frame, found.require(score), found.truth, found.unit))


def panels(source: Source, *, truth: Truth = None, lower_is_better: bool = False) -> Drawing:
    """Draw one small panel per score: the ranks of the networks by score and by result.

    The arguments are those of `scatter`. Above each panel is Spearman's ρ, without a change of
    sign, so that a negative one is right for a score of which lower is better.
    """
    found = compared(source, truth, lower_is_better)
    return drawing_of(small_multiples(found.frame, found.truth))


def correlations(source: Source, *, truth: Truth = None, lower_is_better: bool = False) -> Drawing:
    """Draw Spearman's ρ of each score with the results, with its 95 % interval, the best first.

    The arguments are those of `scatter`. Scores of which lower is better are negated. Published
    values, if there are any, are diamonds.
    """
    return drawing_of(forest(compared(source, truth, lower_is_better).judged))


def agreement(source: Source, *, truth: Truth = None, lower_is_better: bool = False) -> Drawing:
    """Draw Spearman's ρ of each pair of scores as a heat map, negated where lower is better.

    With `truth`, whose meaning is that of `scatter`, the results are in the first row and column.
    Scores that are undefined or equal for all networks are left out.
    """
    if truth is None:
        every = scores_in(source)
    else:
        found = compared(source, truth, lower_is_better)
        every = pd.concat([found.target.rename(found.truth), found.scores], axis=1)
    differing = every.loc[:, every.nunique() > 1]
    if differing.shape[1] < 2:
        raise ForetellError("fewer than two scores differ between the networks; give more")
    return drawing_of(agreement_chart(agreements(differing)))


def top_k(
    source: Source,
    scores: Sequence[str] = (),
    *,
    show: str = "precision",
    truth: Truth = None,
    lower_is_better: bool = False,
) -> Drawing:
    """Draw what is gained by training only the k best networks by a score, against k.

    `show` is "precision", the share of the k best by score that are among the k best by result, or
    "regret", how far the best of them is behind the best of all. `scores` are by default the best
    four by ρ and the best baseline; a random choice is always drawn too. The other arguments are
    those of `scatter`.
    """
    title = AXES[as_choice("show", show, AXES)]
    found = compared(source, truth, lower_is_better)
    if len(found.frame) < 2:
        raise ForetellError("a choice among fewer than two networks cannot be drawn; give more")
    names = [found.require(name) for name in as_texts("scores", scores, "names of scores")]
    table = first_k(found.scores, found.target, names or leading(found))
    return drawing_of(first_k_chart(table, show, title))


def leading(found: Compared) -> list[str]:
    """The best scores by ρ, and the best baseline."""
    known = found.judged["spearman"].dropna().sort_values(ascending=False)
    known = known[[name for name in known.index if name in found.scores]]
    return best_of_each_kind(known, found.judged["kind"])


def cost(source: Source, *, truth: str | None = None) -> Drawing:
    """Draw Spearman's ρ of each score against the seconds that it takes for one network.

    `source` is a study; `truth` is that of `scatter`.
    """
    found = compared(source, truth)
    if found.study is None:
        raise ForetellError("the seconds of scores are known only for a study; give its folder")
    priced = with_prices(found.study, found.judged)
    return drawing_of(cost_chart(priced, "seconds", "seconds per network, as measured"))
