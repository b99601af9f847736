"""Combine several scores into one order of candidates, without knowing any accuracy.

A score that is related neither to the size of a network nor to how well it separates inputs is
seldom useful. Each score is therefore weighted by how well it agrees with both in the given pool: S
= Σ w log u, where u is the relative rank, w = max(0, ρ)², and ρ is the rank correlation with the
anchor, which is the sum of the ranks by FLOPs and by nwot.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from foretell.rankings.anchored import weight
from foretell.statistics.representative import relative_ranks
from foretell.statistics.sample import Floats

__all__ = ["ensemble", "ensemble_weights"]

MEMBERS = ("nwot", "jacob_cov", "synflow", "flops")
"""The scores that are combined if the table has them; on published benchmarks, adding more
hurts."""

ANCHORS = ("flops", "nwot")
OTHERWISE = "params"
"""The anchor for tables that have neither FLOPs nor nwot."""


def ensemble_weights(ranks: Mapping[str, Floats]) -> dict[str, float]:
    """The weight of each score, from relative ranks in the pool; they add up to 1.

    If the table has none of the usual members, all scores are members. Without an anchor, or if no
    member agrees with it, all have equal weights. Scores that are equal for all candidates have
    weight 0.

    >>> up = np.array([0.2, 0.5, 0.8])
    >>> ensemble_weights({"flops": up, "jacob_cov": up[::-1]})
    {'flops': 1.0}
    """
    varied = {name: values for name, values in ranks.items() if np.ptp(values) > 0}
    members = [name for name in MEMBERS if name in varied] or list(varied)
    anchors = [name for name in ANCHORS if name in varied]
    anchors = anchors or [name for name in (OTHERWISE,) if name in varied]
    found = dict.fromkeys(members, 1.0)
    if anchors:
        anchor = relative_ranks(np.sum([varied[name] for name in anchors], axis=0))
        agreed = {name: weight(varied[name], anchor) for name in members}
        found = {name: share for name, share in agreed.items() if share > 0} or found
    total = sum(found.values())
    return {name: share / total for name, share in found.items()}


def ensemble(ranks: pd.DataFrame) -> "pd.Series[float]":
    """The score S of each candidate, from relative ranks in the pool; ≤ 0, higher is better.

    >>> ranks = pd.DataFrame({"flops": [0.25, 0.75], "nwot": [0.25, 0.75]}, index=["a", "b"])
    >>> ensemble(ranks).round(3).to_dict()
    {'a': -1.386, 'b': -0.288}
    """
    each = {str(name): ranks[name].to_numpy(dtype=float) for name in ranks}
    found = ensemble_weights(each)
    total = sum((share * np.log(each[name]) for name, share in found.items()), np.zeros(len(ranks)))
    return pd.Series(total, index=ranks.index, name="ensemble")
