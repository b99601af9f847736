"""Score the reduced form of a network, beside the sizes of the network itself."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from foretell.engine.plan import Plan, Request, make_plan
from foretell.rankings.sizes import SIZES
from foretell.scoring.factories import Build
from foretell.scoring.many import Batches, score_many
from foretell.scoring.settings import ScoreSettings

__all__ = ["in_forms", "of_sizes"]


def in_forms(
    build: Build,
    reduced: Build | None,
    batches: Batches,
    proxies: Request,
    seeds: Sequence[int],
    scoring: ScoreSettings,
) -> pd.DataFrame:
    """The rows of `score_many`, in which all scores but the sizes are those of the reduced form.

    Without a reduced form, all are those of the network. The column `form` tells which it is:
    "full" or "reduced".
    """
    how: dict[str, Any] = {"seeds": seeds, "scoring": scoring}
    if reduced is None:
        return score_many(build, batches, proxies, **how).assign(form="full")
    plan = make_plan(proxies)
    forms = {"reduced": (reduced, False), "full": (build, True)}
    parts = [
        score_many(form, batches, asked, **how).assign(form=name)
        for name, (form, sizes) in forms.items()
        if (asked := of_sizes(plan, sizes))
    ]
    runs = pd.concat(parts, ignore_index=True)
    place = {name: number for number, name in enumerate(plan.names)}
    return runs.sort_values("proxy", key=lambda names: names.map(place), kind="stable")


def of_sizes(plan: Plan, sizes: bool) -> dict[str, Mapping[str, Any]]:
    """The proxies of a plan that are sizes, or those that are not, with their settings."""
    return {
        proxy.address: plan.settings.get(proxy.name, {})
        for proxy in plan.proxies
        if (proxy.name in SIZES) == sizes
    }
