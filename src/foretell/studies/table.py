"""The table of a study: one row per score with its statistics and intervals, and the baselines."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd

from foretell.errors import ForetellError
from foretell.proxies import BASELINES
from foretell.proxies import higher_is_better as direction_of
from foretell.rankings import RANKINGS, Ranking, oriented, points, scores_of
from foretell.rankings.sizes import strata
from foretell.rankings.vote import VOTERS
from foretell.statistics.correlations import (
    Statistic,
    kendall,
    majority_accuracy,
    pairwise_accuracy,
    partial_spearman,
    spearman,
    spearman_within,
    why_undefined,
)
from foretell.statistics.intervals import (
    CORRELATION,
    SHARE,
    Counted,
    Interval,
    Scale,
    intervals,
)
from foretell.statistics.noise import seed_against_seed
from foretell.statistics.sample import Floats
from foretell.statistics.tops import (
    best_in_top,
    ndcg_at,
    precision_at,
    regret,
    regret_of_first,
    top_overlap,
    within_top,
)

__all__ = ["CEILING", "COLUMNS", "STATISTICS", "VOTE", "rankings_of", "study_table"]

VOTE, CEILING, PARTIAL = "vote", "noise ceiling", "partial_spearman"
CONTROLLED = {"params": PARTIAL, "flops": f"{PARTIAL}_flops"}
"""The partial rank correlation given a measure of size, by its name."""
WITHIN = {"params": "spearman_at_params", "flops": "spearman_at_flops"}
"""The mean rank correlation within up to ten strata of about equal size, by measure of size."""
STATISTICS: Mapping[str, Statistic] = {
    "spearman": spearman,
    "kendall": kendall,
    "pairwise_accuracy": pairwise_accuracy,
    "spearman_in_top": partial(within_top, spearman),
    "kendall_in_top": partial(within_top, kendall),
    "top_overlap": top_overlap,
    "best_in_top": best_in_top,
    "precision_at_10": partial(precision_at, k=10),
    "regret": regret,
    "regret_of_10": partial(regret_of_first, k=10),
    "ndcg_at_10": partial(ndcg_at, k=10),
}
"""The statistics of every score by the name of their column, except those at equal size."""

IN_TOP = Scale(-1, 1, fewest=200, part=0.1)
SCALES: Mapping[str, Scale] = {
    "spearman": CORRELATION,
    "kendall": CORRELATION,
    **dict.fromkeys(CONTROLLED.values(), CORRELATION),
    "pairwise_accuracy": SHARE,
    "spearman_in_top": IN_TOP,
    "kendall_in_top": IN_TOP,
    "top_overlap": Scale(0, 1, fewest=1000, groups=10, part=0.1, fisher=False),
}
"""The statistics that have an interval, and the fewest networks for it.

Statistics that depend on a few networks (`best_in_top`, `precision_at_10`, `regret`,
`regret_of_10`, `ndcg_at_10`) have no interval: of the 95 % intervals that were tried for the first
three, only 71 to 91 % contained the true value.
"""


DESCRIBED = ("kind", "n", "undefined", "why", "runs")
SPREAD = ("spearman_sd", "spearman_min", "spearman_max")
COLUMNS = (
    *(*DESCRIBED, *SPREAD, "sign", *(f"sign_at_{size}" for size in CONTROLLED)),
    *(
        f"{name}{end}"
        for name in (*STATISTICS, *CONTROLLED.values(), *WITHIN.values())
        for end in ("", "_low", "_high")
    ),
)
"""The columns of a study's table; `judge` adds `published`."""


def study_table(
    scores: pd.DataFrame,
    truth: pd.Series,
    higher_is_better: Mapping[str, bool] | None = None,
    params: pd.Series | None = None,
    repeats: pd.DataFrame | None = None,
    *,
    runs: Sequence[pd.DataFrame] = (),
    more_is_better: bool = True,
    seed: int = 0,
    level: float = 0.95,
) -> pd.DataFrame:
    """One row per score, with columns `NAME`, `NAME_low` and `NAME_high` for each of `STATISTICS`.

    The ends of an interval are nan for statistics without an interval of verified coverage (see
    `SCALES`). `seed` determines how more than 200 networks are divided into groups for it.

    - `scores` has one row per architecture and one column per score, nan if it is undefined.
    - `truth` has one value per architecture; architectures without truth are left out.
    - `higher_is_better` is the direction of each score, by default that of its proxy;
      `more_is_better` is the direction of the truth and of `repeats`.
    - `params`, by default the score of that name, is the quantity that `partial_spearman` controls
      for; it also has a row. If `flops` is among the scores, `partial_spearman_flops` controls for
      it.
    - `repeats` has one column per training seed; with it, the table has a row for the noise
      ceiling.
    - `runs` has further data frames like `scores`, for other seeds and batches; `spearman_sd`,
      `_min` and `_max` are computed over all of them.

    A ranking whose members are all among the scores also has a row; it is evaluated by its points
    among the architectures with truth. The points of the vote are its Copeland wins, but its
    `pairwise_accuracy` is that of the majority.

    The other columns are `kind` (proxy, ranking, baseline or ceiling; `judge` adds reduced), `n`,
    `undefined` (the number of scores that are nan and rank last), `sign` ("right" or "wrong" if the
    interval of ρ excludes 0, otherwise "unclear", or "undefined"), `sign_at_params` and
    `sign_at_flops` (the same for the partial ρ given size: whether the score contains more
    information than size), `why` (the reason if ρ is undefined) and `runs`. `spearman_at_params`
    and `spearman_at_flops` are means of ρ within up to ten strata of about equal size, without
    intervals.

    Raises ForetellError for scores of unknown direction, and if scores and truth have no
    architecture in common or name one twice.

    >>> scores = pd.DataFrame({"snip": [1.0, 2, 4, 3, 5]}, index=list("abcde"))
    >>> table = study_table(scores, pd.Series([90.0, 91, 92, 93, 94], index=list("abcde")))
    >>> table.loc["snip", ["spearman", "n", "undefined"]].tolist()
    [0.9, 5.0, 0.0]
    """
    truth = shared(scores, truth)
    if params is not None and "params" not in scores:
        scores = scores.assign(params=params.reindex(scores.index))
    size = params if params is not None else scores.get("params")
    sizes = {"params": size, "flops": scores.get("flops")}
    known = {name: one.reindex(truth.index) for name, one in sizes.items() if one is not None}
    statistics = statistics_given(known)
    sign = 1 if more_is_better else -1
    target = sign * truth.to_numpy()
    every = [upwards(run, truth.index, higher_is_better) for run in (scores, *runs)]
    asked = questions(every[0], target, statistics)
    if repeats is not None:
        asked |= ceiling_of(sign * repeats.reindex(truth.index), statistics)
    scales = {question: SCALES[question[1]] for question in asked if question[1] in SCALES}
    found = intervals(asked, len(truth), scales, seed=seed, level=level)
    rows = {
        row: described(row, every, target) | numbers_of(row, found)
        for row in dict.fromkeys(row for row, _ in asked)
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("score")


def shared(scores: pd.DataFrame, truth: pd.Series) -> pd.Series:
    """The truth of the architectures with scores, in the order of the scores."""
    for what, index in ("scores", scores.index), ("truths", truth.index):
        if not index.is_unique:
            twice = index[index.duplicated()][0]
            raise ForetellError(f"the {what} name {twice!r} twice; give one row per architecture")
    both = truth.reindex(scores.index).astype(float).dropna()
    if both.empty:
        raise ForetellError(
            f"none of the {len(scores)} scored architectures is among the {len(truth)} with a "
            "truth; use the same names in both"
        )
    return both


def statistics_given(sizes: Mapping[str, pd.Series]) -> dict[str, Statistic]:
    """All statistics, with those at equal size only for the measures of size among the scores."""
    found = dict(STATISTICS)
    for name, size in sizes.items():
        values, stratum = size.to_numpy(dtype=float), strata(size.astype(float)).to_numpy()
        found[CONTROLLED[name]] = partial(partial_spearman, given=values)
        found[WITHIN[name]] = partial(spearman_within, stratum=stratum)
    return found


def upwards(
    scores: pd.DataFrame, index: pd.Index, higher_is_better: Mapping[str, bool] | None
) -> pd.DataFrame:
    """The scores, negated if lower is better: first the proxies, then rankings and baselines."""
    absent = index.difference(scores.index)
    if len(absent):
        raise ForetellError(
            f"a run lacks {len(absent)} of the architectures of the others, such as {absent[0]!r}; "
            "score all of them in each run, nan where a score is undefined"
        )
    known = {**dict.fromkeys(RANKINGS, True), **(higher_is_better or {})}
    found = [known.get(str(name), direction_of(str(name))) for name in scores]
    if None in found:
        unknown = [str(name) for name, one in zip(scores, found, strict=True) if one is None]
        raise ForetellError(
            f"it is unknown whether higher is better for {', '.join(unknown)}; register the proxy, "
            "or state it in higher_is_better"
        )
    signs = [1 if one else -1 for one in found]
    frame = scores.reindex(index).astype(float) * signs
    as_given = oriented(frame)  # a ranking knows the directions of proxies by itself
    for ranking in rankings_of(scores):
        frame[ranking.name] = points(ranking, as_given)
    order = {"proxy": 0, "ranking": 1, "baseline": 2}
    return frame[sorted(frame, key=lambda name: order[kind_of(str(name))])].rename(columns=str)


def rankings_of(scores: pd.DataFrame) -> list[Ranking]:
    """The rankings whose members are all among the scores, except those that are scores already."""
    return [
        ranking
        for name, ranking in RANKINGS.items()
        if name not in scores and set(scores_of(ranking)) <= set(scores)
    ]


def questions(
    scores: pd.DataFrame, target: Floats, statistics: Mapping[str, Statistic]
) -> dict[tuple[str, str], Counted]:
    """Every statistic of every score, as a function of the sample."""
    asked: dict[tuple[str, str], Counted] = {
        (str(row), name): partial(statistic, values.to_numpy(), target)
        for row, values in scores.items()
        for name, statistic in statistics.items()
    }
    if VOTE in scores and set(VOTERS) <= set(scores):
        ballots = scores[list(VOTERS)].to_numpy()
        asked[VOTE, "pairwise_accuracy"] = partial(majority_accuracy, ballots, target)
    return asked


def ceiling_of(
    repeats: pd.DataFrame, statistics: Mapping[str, Statistic]
) -> dict[tuple[str, str], Counted]:
    """The noise ceiling: the statistics with the truth of one training seed as a score."""
    if repeats.shape[1] < 2:
        return {}
    seeds = repeats.to_numpy(dtype=float).T.copy()
    return {
        (CEILING, name): partial(seed_against_seed, statistic, *seeds)
        for name, statistic in statistics.items()
    }


def kind_of(row: str) -> str:
    """The kind of a row."""
    special = {CEILING: "ceiling", **dict.fromkeys(BASELINES, "baseline")}
    special |= dict.fromkeys(RANKINGS, "ranking")
    return special.get(row, "proxy")


def described(row: str, every: Sequence[pd.DataFrame], target: Floats) -> dict[str, object]:
    """The columns of a score besides its statistics."""
    values = [run[row].to_numpy() for run in every if row in run]
    spread = np.array([spearman(value, target) for value in values] or [np.nan], dtype=float)
    return {
        "kind": kind_of(row),
        "n": len(target),
        "undefined": int(np.isnan(values[0]).sum()) if values else 0,
        "why": why_undefined(values[0], target) if values else "",
        "runs": len(values),
        "spearman_sd": spread.std(ddof=1) if len(values) > 1 else np.nan,
        "spearman_min": spread.min(),
        "spearman_max": spread.max(),
    }


def numbers_of(row: str, found: Mapping[tuple[str, str], Interval]) -> dict[str, object]:
    """The sign of a score, and each statistic with its interval as three columns."""
    absent = Interval(np.nan, np.nan, np.nan, 0)
    names = (*STATISTICS, *CONTROLLED.values(), *WITHIN.values())
    every = {name: found.get((row, name), absent) for name in names}
    numbers: dict[str, object] = {"sign": sign_of(every["spearman"])}
    numbers |= {f"sign_at_{size}": sign_of(every[name]) for size, name in CONTROLLED.items()}
    for name, one in every.items():
        numbers |= {name: one.value, f"{name}_low": one.low, f"{name}_high": one.high}
    return numbers


def sign_of(rho: Interval) -> str:
    """Whether the interval of ρ shows that a score ranks in the right direction."""
    if np.isnan(rho.value):
        return "undefined"
    return "right" if rho.low > 0 else "wrong" if rho.high < 0 else "unclear"
