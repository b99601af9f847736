"""The registry of rankings: orders of several networks by several scores.

A ranking is defined for a pool of networks: the rank of a network depends on all others, so adding
a network can change the order of the rest. To add a ranking, add an entry to `RANKINGS`.
"""

from collections.abc import Mapping, Sequence

import pandas as pd

from foretell.errors import ForetellError, shown, unknown_name
from foretell.names import first_line
from foretell.proxies import PROXIES
from foretell.rankings import anchored, first_then, log_rank, mean_rank, vote
from foretell.rankings.ranking import Column, Ranking, by_points, oriented, without

__all__ = [
    "FAMILIES",
    "MEAN",
    "RANKINGS",
    "Ranking",
    "by_points",
    "dropped",
    "find_ranking",
    "is_ranking",
    "oriented",
    "places",
    "points",
    "points_by",
    "scores_for",
    "scores_of",
    "without",
]

MEAN = "mean_rank"
FAMILIES: Mapping[str, tuple[Column, str]] = {
    "log_rank": (log_rank.log_rank, "Lee and Ham 2024, arXiv:2403.19232, for any scores"),
    MEAN: (mean_rank.mean_rank, "a plain mean, for any scores"),
}
"""The rankings that combine any scores, with their sources: `log_rank` combines all given scores,
and `log_rank:snip,flops` only these. `snip+flops` is short for `mean_rank:snip,flops`."""

RANKINGS: dict[str, Ranking] = {
    ranking.name: ranking
    for ranking in (
        Ranking(
            "vote",
            f"Ranks by pairwise majority of {', '.join(vote.VOTERS)}.",
            "Abdelfattah et al. 2021, arXiv:2101.08134",
            vote.VOTERS,
            points=vote.wins,
            places=lambda scores: vote.vote(scores, tuple(map(str, scores))),
            drops=False,
        ),
        Ranking(
            "az_nas",
            "Ranks by Σ log(rank / m) of three scores of blocks and the FLOPs.",
            "Lee and Ham 2024, arXiv:2403.19232",
            ("az_expressivity", "az_progressivity", "az_trainability", "flops"),
            log_rank.log_rank,
        ),
        Ranking(
            "anchored",
            "Ranks by Σ w log(rank / m), w being the agreement of a score with size in the pool.",
            "foretell, docs/ensemble.md",
            ("rmin", "d8", "jacob_cov", "flops_used", "nwot"),
            anchored.anchored,
        ),
        Ranking(
            "vkdnw_single",
            "Ranks by the number of parameter tensors, and by vkdnw where it is equal.",
            "Týbl and Neumann 2025, arXiv:2502.04975",
            ("parameter_tensors", "vkdnw"),
            first_then.first_then,
            drops=False,
        ),
        Ranking(
            "vkdnw_agg",
            "Ranks by Σ log(rank / m) of vkdnw_single, jacob_cov, two scores of blocks and FLOPs.",
            "Týbl and Neumann 2025, arXiv:2502.04975",
            ("vkdnw_single", "jacob_cov", "az_expressivity", "az_trainability", "flops"),
            log_rank.log_rank,
        ),
    )
}
"""The rankings with fixed members, by name."""


DECIMALS = 12
"""Points are compared after rounding to this many decimals, so that rounding errors break no
ties."""


def is_ranking(name: str) -> bool:
    """Whether this is the name of a ranking rather than of a proxy.

    >>> is_ranking("vote"), is_ranking("log_rank:snip,flops"), is_ranking("snip")
    (True, True, False)
    >>> is_ranking("synflow+jacob_cov")
    True
    """
    return name in RANKINGS or name.partition(":")[0] in FAMILIES or "+" in name


def find_ranking(name: str, scores: Sequence[str]) -> Ranking:
    """The ranking of this name; `log_rank` without members combines all of `scores`.

    Raises UnknownName if there is no such ranking, and ForetellError if a score is empty or named
    twice.

    >>> find_ranking("log_rank:snip,flops", []).members, find_ranking("snip+flops", []).name
    (('snip', 'flops'), 'mean_rank')
    >>> find_ranking("votes", [])
    Traceback (most recent call last):
    foretell.errors.UnknownName: no ranking is called 'votes'; did you mean 'vote'?
    """
    if name in RANKINGS:
        return RANKINGS[name]
    if ":" not in name and "+" in name:
        name = f"{MEAN}:{name.replace('+', ',')}"
    family, colon, listed = name.partition(":")
    if family not in FAMILIES:
        raise unknown_name("ranking", name, [*RANKINGS, *FAMILIES])
    chosen = [part.strip() for part in listed.split(",")] if colon else list(scores)
    if (colon and not any(chosen)) or "" in chosen or len(set(chosen)) < len(chosen):
        fault = "names a score twice" if all(chosen) else "lacks a score beside a comma"
        fault = fault if any(chosen) else "names no score"
        raise ForetellError(f"{shown(name)} {fault}; write scores such as {family}:snip,flops")
    function, source = FAMILIES[family]
    return Ranking(family, first_line(function), source, tuple(chosen), function)


def scores_of(ranking: Ranking) -> tuple[str, ...]:
    """The scores that a ranking needs, including those of rankings among its members.

    >>> scores_of(RANKINGS["vote"])
    ('synflow', 'jacob_cov', 'snip')
    """
    needed: list[str] = []
    for member in ranking.members:
        needed += scores_of(RANKINGS[member]) if member in RANKINGS else [member]
    return tuple(dict.fromkeys(needed))


def scores_for(name: str, scores: Sequence[str] = ()) -> tuple[str, ...]:
    """The scores needed to choose by this name: the members of a ranking, or the proxy itself.

    >>> scores_for("vote"), scores_for("snip+flops"), scores_for("snip")
    (('synflow', 'jacob_cov', 'snip'), ('snip', 'flops'), ('snip',))
    """
    return scores_of(find_ranking(name, scores)) if is_ranking(name) else (name,)


def ballots(ranking: Ranking, scores: pd.DataFrame) -> pd.DataFrame:
    """A column for each member of a ranking: the score, or the points of a ranking."""
    return pd.DataFrame(
        {
            name: points(RANKINGS[name], scores) if name in RANKINGS else scores[name].astype(float)
            for name in ranking.members
        },
        index=scores.index,
    )


def points(ranking: Ranking, scores: pd.DataFrame) -> "pd.Series[float]":
    """The points of each network by a ranking; higher is better, nan if all members are undefined.

    >>> points(find_ranking("log_rank:params", []), pd.DataFrame({"params": [4, 2, 2]})).tolist()
    [0.0, -0.69..., -0.69...]
    """
    return ranking.points(ballots(ranking, scores)).rename(ranking.name)


def points_by(name: str, scores: pd.DataFrame) -> "pd.Series[float]":
    """The points of each network by the ranking of this name on the columns that are proxies."""
    return points(find_ranking(name, [str(one) for one in scores if one in PROXIES]), scores)


def places(ranking: Ranking, scores: pd.DataFrame) -> "pd.Series[int]":
    """Ranks from 1 (best) by a ranking; equal networks share a rank, undefined ones are last.

    >>> places(find_ranking("log_rank:params", []), pd.DataFrame({"params": [4, 2, 2]})).tolist()
    [1, 2, 2]
    """
    columns = ballots(ranking, scores)
    if ranking.places is not None:
        return ranking.places(columns)
    return by_points(ranking.points(columns).round(DECIMALS))


def dropped(ranking: Ranking, scores: pd.DataFrame) -> "pd.Series[str]":
    """For each network, a text that names its undefined members; empty if all are defined.

    >>> scores = pd.DataFrame({"snip": [1.0, float("nan")], "flops": [1.0, 2.0]})
    >>> dropped(find_ranking("log_rank", ["snip", "flops"]), scores).tolist()
    ['', 'log_rank: ranked without snip']
    """
    columns = ballots(ranking, scores)
    said = []
    for row in columns.isna().to_numpy():
        lost = [str(name) for name, is_lost in zip(columns, row, strict=True) if is_lost]
        how = "ranked without" if len(lost) < len(row) else "ranked last, without any of"
        noted = bool(lost) and ranking.drops
        said.append(f"{ranking.name}: {how} {', '.join(lost)}" if noted else "")
    return pd.Series(said, index=scores.index, dtype=object)
