"""One row a score: all its numbers, with intervals, beside what it must beat."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from foretell.errors import ForetellError
from foretell.proxies import BASELINES, PROXIES
from foretell.scoring.vote import VOTERS, wins
from foretell.statistics.correlations import (
    Statistic,
    kendall,
    majority_accuracy,
    pairwise_accuracy,
    partial_spearman,
    spearman,
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
    precision_at,
    regret,
    top_overlap,
    within_top,
)

__all__ = ["CEILING", "STATISTICS", "VOTE", "study_table"]

VOTE, CEILING, PARTIAL = "vote", "noise ceiling", "partial_spearman"
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
}
"""What a study says of every score, by the name of its column; `partial_spearman` is beside."""

IN_TOP = Scale(-1, 1, fewest=200, part=0.1)
SCALES: Mapping[str, Scale] = {
    "spearman": CORRELATION,
    "kendall": CORRELATION,
    PARTIAL: CORRELATION,
    "pairwise_accuracy": SHARE,
    "spearman_in_top": IN_TOP,
    "kendall_in_top": IN_TOP,
    "top_overlap": Scale(0, 1, fewest=1000, groups=10, part=0.1, fisher=False),
}
"""The statistics that have an interval, from how many networks on.

There is none for fewer, and none at all of the numbers that depend on a few networks
(`best_in_top`, `precision_at_10`, `regret`): of the intervals tried, 71 to 91 % held where 95 were
promised.
"""


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
    """A row a score: `name`, `name_low` and `name_high` for each of `STATISTICS`.

    The ends of an interval are nan where none that holds is known (`SCALES`); `seed` deals more
    than 200 networks into groups for it.

    `scores` has a row an architecture and a column a score, nan where it is undefined; `truth` is
    by architecture and one without it is left out. `higher_is_better` says which way each score
    points, by default what its proxy says; `more_is_better` says it of the truth and `repeats`.
    `params`, by default the score of that name, is what `partial_spearman` holds fixed; it gets a
    row. So do the vote (Copeland wins; its `pairwise_accuracy` is the majority's own), where its
    voters are there, and the noise ceiling, where `repeats` has a column a seed. `runs` are more
    frames like `scores`, of other seeds and batches: `spearman_sd`, `_min` and `_max` are over
    all of them.

    Columns beside: `kind` (proxy, vote, baseline, ceiling; `judge` adds reduced), `n`, `undefined`
    (scores that are nan and rank last), `sign` ("right" or "wrong" where the interval of ρ
    excludes 0, else "unclear"; "undefined"), `why` (there is no ρ), `runs`.

    Raises ForetellError for scores of unknown direction, and where scores and truth share no
    architecture or name one twice.

    >>> scores = pd.DataFrame({"snip": [1.0, 2, 4, 3, 5]}, index=list("abcde"))
    >>> table = study_table(scores, pd.Series([90.0, 91, 92, 93, 94], index=list("abcde")))
    >>> table.loc["snip", ["spearman", "n", "undefined"]].tolist()
    [0.9, 5.0, 0.0]
    """
    truth = shared(scores, truth)
    if params is not None and "params" not in scores:
        scores = scores.assign(params=params.reindex(scores.index))
    size = params if params is not None else scores.get("params")
    statistics = statistics_given(None if size is None else size.reindex(truth.index))
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
    """The truth of the architectures that have scores, in the order of the scores."""
    for what, index in ("scores", scores.index), ("truths", truth.index):
        if not index.is_unique:
            twice = index[index.duplicated()][0]
            raise ForetellError(f"the {what} name {twice!r} twice; give one row an architecture")
    both = truth.reindex(scores.index).astype(float).dropna()
    if both.empty:
        raise ForetellError(
            f"none of the {len(scores)} architectures scored is among the {len(truth)} with a "
            "truth; give both the same names"
        )
    return both


def statistics_given(size: pd.Series | None) -> dict[str, Statistic]:
    """All statistics, the partial correlation only where there is something to hold fixed."""
    if size is None:
        return dict(STATISTICS)
    return {**STATISTICS, PARTIAL: partial(partial_spearman, given=size.to_numpy(dtype=float))}


def upwards(
    scores: pd.DataFrame, index: pd.Index, higher_is_better: Mapping[str, bool] | None
) -> pd.DataFrame:
    """The scores with higher being better, the vote after the proxies, the baselines last."""
    absent = index.difference(scores.index)
    if len(absent):
        raise ForetellError(
            f"a run lacks {len(absent)} of the architectures of the others, such as {absent[0]!r}; "
            "score all of them in each run, nan where a score is undefined"
        )
    known: dict[Any, bool] = {name: proxy.higher_is_better for name, proxy in PROXIES.items()}
    known |= {VOTE: True, **(higher_is_better or {})}
    unknown = [str(name) for name in scores if name not in known]
    if unknown:
        raise ForetellError(
            f"which way is better for {', '.join(unknown)}? name them in higher_is_better"
        )
    signs = [1 if known[name] else -1 for name in scores]
    frame = scores.reindex(index).astype(float) * signs
    if set(VOTERS) <= set(frame) and VOTE not in frame:
        frame[VOTE] = wins(frame[list(VOTERS)])
    order = {"proxy": 0, "vote": 1, "baseline": 2}
    return frame[sorted(frame, key=lambda name: order[kind_of(str(name))])].rename(columns=str)


def questions(
    scores: pd.DataFrame, target: Floats, statistics: Mapping[str, Statistic]
) -> dict[tuple[str, str], Counted]:
    """Every number of every score, as a function of counts."""
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
    """The same numbers of one seed's truth as the score of another's; none for a single seed."""
    if repeats.shape[1] < 2:
        return {}
    seeds = repeats.to_numpy(dtype=float).T.copy()
    return {
        (CEILING, name): partial(seed_against_seed, statistic, *seeds)
        for name, statistic in statistics.items()
    }


def kind_of(row: str) -> str:
    """What sort of row it is."""
    special = {VOTE: "vote", CEILING: "ceiling", **dict.fromkeys(BASELINES, "baseline")}
    return special.get(row, "proxy")


def described(row: str, every: Sequence[pd.DataFrame], target: Floats) -> dict[str, object]:
    """What is known of a score beside its statistics."""
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
    every = {name: found.get((row, name), absent) for name in (*STATISTICS, PARTIAL)}
    numbers: dict[str, object] = {"sign": sign_of(every["spearman"])}
    for name, one in every.items():
        numbers |= {name: one.value, f"{name}_low": one.low, f"{name}_high": one.high}
    return numbers


def sign_of(rho: Interval) -> str:
    """What the interval of ρ says of a score's direction."""
    if np.isnan(rho.value):
        return "undefined"
    return "right" if rho.low > 0 else "wrong" if rho.high < 0 else "unclear"
