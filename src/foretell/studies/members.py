"""Measure what each member of a ranking adds: its rank correlation with and without the member."""

import pandas as pd

from foretell.rankings import points, without
from foretell.statistics.correlations import spearman
from foretell.studies.table import rankings_of, shared

__all__ = ["members_table"]


def members_table(
    scores: pd.DataFrame, truth: "pd.Series[float]", *, more_is_better: bool = True
) -> pd.DataFrame:
    """The rank correlation of each ranking without each of its members.

    The table has one row per ranking, if all its members are among the scores, and member. `scores`
    and `truth` are as for `study_table`. `spearman` is the ρ of the ranking, `without` that of the
    ranking without this member, and `adds` the difference. All are computed on the same networks;
    the difference has no confidence interval.

    >>> given = {"synflow": [1.0, 2, 3], "snip": [3.0, 2, 1], "jacob_cov": [1.0, 3, 2]}
    >>> scores = pd.DataFrame(given, index=list("abc"))
    >>> found = members_table(scores, pd.Series([1.0, 2, 3], list("abc")))
    >>> found.loc["vote"].round(2).loc["snip"].to_dict()
    {'spearman': 0.5, 'without': 0.87, 'adds': -0.37}
    """
    truth = shared(scores, truth)
    known, target = scores.reindex(truth.index), truth.to_numpy() * (1 if more_is_better else -1)
    rows = []
    for ranking in rankings_of(known):
        whole = float(spearman(points(ranking, known).to_numpy(), target))
        for member in ranking.members:
            rest = float(spearman(points(without(ranking, member), known).to_numpy(), target))
            about = {"ranking": ranking.name, "member": member}
            rows.append({**about, "spearman": whole, "without": rest, "adds": whole - rest})
    columns = ["ranking", "member", "spearman", "without", "adds"]
    return pd.DataFrame(rows, columns=columns).set_index(["ranking", "member"])
