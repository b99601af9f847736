"""An order of candidates by several scores, without knowing any accuracy.

Scores that have nothing to do with the size of a network, nor with how well it tells inputs apart,
are seldom useful, so each score counts by how well it agrees with these in the pool at hand:
S = Σ w log u, u being the relative rank, w = max(0, ρ)², and ρ the rank correlation with the sum of
the ranks by FLOPs and by nwot.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from foretell.rankings.anchored import weight
from foretell.statistics.representative import relative_ranks
from foretell.statistics.sample import Floats

__all__ = ["ensemble", "ensemble_weights"]

MEMBERS = ("nwot", "jacob_cov", "synflow", "flops")
"""The scores that are used if the table has them: on published benchmarks, more are worse."""

ANCHORS = ("flops", "nwot")
OTHERWISE = "params"
"""The anchor of a table with neither."""


def ensemble_weights(ranks: Mapping[str, Floats]) -> dict[str, float]:
    """The weight of each score, from relative ranks in the pool; they add up to 1.

    Without any of the usual members, all scores are members; without an anchor, or if no member
    agrees with it, all count alike. Scores that are the same for every candidate do not count.

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
    """S of each candidate, from relative ranks in the pool; at most 0, higher is better.

    >>> ranks = pd.DataFrame({"flops": [0.25, 0.75], "nwot": [0.25, 0.75]}, index=["a", "b"])
    >>> ensemble(ranks).round(3).to_dict()
    {'a': -1.386, 'b': -0.288}
    """
    each = {str(name): ranks[name].to_numpy(dtype=float) for name in ranks}
    found = ensemble_weights(each)
    total = sum((share * np.log(each[name]) for name, share in found.items()), np.zeros(len(ranks)))
    return pd.Series(total, index=ranks.index, name="ensemble")
