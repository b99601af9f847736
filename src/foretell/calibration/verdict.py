"""Put the results of a calibration into words."""

import math
from collections.abc import Sequence

import pandas as pd

from foretell.calibration.early import Early
from foretell.calibration.results import Results
from foretell.statistics.posterior import FEWEST, Measured, Posterior
from foretell.statistics.representative import Weighted

__all__ = ["in_words", "verdict"]

SURE = 0.9
"""The probability that a statement must exceed to be made."""

HELPS, NOTHING, MISLEADS, UNKNOWN = (
    "helps",
    "no signal at all",
    "misleads",
    "no evidence yet",
)


def verdict(found: Posterior, interval: tuple[float, float], seen: Measured, by: Weighted) -> str:
    """The verdict on one score.

    The score helps if ρ > 0.3 has a probability of 90 % and the interval of ρ is above 0; it
    misleads if the interval is below 0; there is no signal if |ρ| < 0.3 has a probability of 90 %.

    >>> import numpy as np
    >>> verdict(Posterior(0.8, 0.2), (0.3, 0.9), Measured(0.7, 20), Weighted(np.ones(1)))
    'helps'
    """
    low, high = interval
    if not by.covered or math.isnan(low):
        return UNKNOWN
    if high < 0:
        return MISLEADS
    if low > 0 and found.above(0.3) >= SURE:
        return HELPS
    if found.above(-0.3) - found.above(0.3) >= SURE:
        return NOTHING
    return UNKNOWN


def in_words(
    table: pd.DataFrame,
    found: Results,
    by: Weighted,
    pool: int,
    leader: str,
    early: Sequence[Early] = (),
) -> tuple[str, ...]:
    """The recommendations and the reasons for them, as sentences."""
    k = len(found.values)
    said = [f"{k} of {pool} candidates have been trained."]
    if found.left_out:
        said.append(
            f"{found.left_out} results without a value or of an earlier epoch are left out."
        )
    said += map(so_far, early)
    if not math.isnan(found.noise):
        said.append(f"Repeats of one network differ by {found.noise:.3g} (standard deviation).")
    if k < FEWEST:
        said.append(
            f"With fewer than {FEWEST} results, nothing can be said about the scores: first train "
            "candidates that are spread over the pool."
        )
        return tuple(said)
    if found.values.nunique() == 1:
        return (*said, "All results are equal, so nothing can be said about the scores.")
    if not by.covered:
        said.append(
            f"The trained candidates cover only a part of the range of {by.axis}, so nothing can "
            "be said about the rest: train the proposed candidates, which are spread over the pool."
        )
        return tuple(said)
    if by.axis:
        said.append(
            f"The trained candidates were selected by {by.axis}; weighted by their share of the "
            f"pool, they count as much as {by.count:.1f} candidates drawn at random."
        )
    return (*said, worth(table, leader, pool - k))


def so_far(early: Early) -> str:
    """A sentence that says how the results of an earlier epoch are used."""
    count = len(early.ended)
    known = f"{early.pairs} networks that have both, and from " if early.pairs else ""
    return (
        f"{count} network{'s' * (count > 1)} ended at epoch {early.epoch}, where results rank "
        f"those of the last epoch with ρ = {early.r:.2f} (from {known}published curves). They "
        "change the order of the candidates, but no interval or probability."
    )


def worth(table: pd.DataFrame, leader: str, left: int) -> str:
    """A sentence that says whether to choose by score; `left` counts the untrained candidates."""
    rho, low, high = (float(table[name].loc[leader]) for name in ("rho", "low", "high"))
    found = str(table["verdict"].loc[leader])
    if found == HELPS:
        size = float(table["rho"].get("params", math.nan))
        beside = "" if math.isnan(size) else f"; by params in {pairs(size)}"
        return (
            f"Choose by {leader}: of two candidates, it prefers the better one in {pairs(rho)} of "
            f"cases ({pairs(low)} to {pairs(high)}){beside}; a random choice does so in 50 %."
        )
    if found == MISLEADS:
        return f"Do not choose by {leader}: it ranks in the wrong direction here."
    if found == NOTHING:
        return f"Choose at random: {leader} says nothing about these candidates."
    if not left:
        return f"There is no evidence that {leader} helps here."
    return (
        f"There is no evidence yet that {leader} helps: train more networks before relying on it."
    )


def pairs(rho: float) -> str:
    """The share of pairs that are ordered correctly at this rank correlation: ½ + asin(r)/π.

    r = 2 sin(πρ/6) is the correlation of jointly normal variables whose rank correlation is ρ.

    >>> pairs(0.0), pairs(0.6)
    ('50 %', '71 %')
    """
    r = 2 * math.sin(math.pi * rho / 6)
    return f"{100 * (0.5 + math.asin(min(max(r, -1.0), 1.0)) / math.pi):.0f} %"
