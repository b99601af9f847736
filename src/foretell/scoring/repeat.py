"""Score a network on several batches and with several draws of its weights: mean and spread."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Unpack

import pandas as pd
from torch import nn

from foretell.batch import Batch, as_batch
from foretell.engine.plan import DEFAULT, Request, make_plan
from foretell.errors import ForetellError
from foretell.scoring.rank import column_for, in_order
from foretell.scoring.score import score
from foretell.scoring.settings import ScoreChoices, ScoreSettings, settings_of

__all__ = ["Build", "rank_many", "score_many", "summary"]

Build = Callable[[int], nn.Module]
"""Builds a network whose weights are drawn by the seed."""


def score_many(
    model: nn.Module | Build,
    batches: Sequence[Batch | Sequence[Any]],
    seeds: Sequence[int] = (0,),
    proxies: Request = DEFAULT,
    *,
    scoring: ScoreSettings = ScoreSettings(),
    **choices: Unpack[ScoreChoices],
) -> pd.DataFrame:
    """A row for each seed, batch and proxy: `value`, nan where it is undefined, `seconds`, `why`.

    `model` is a function of the seed that builds the network anew, its weights drawn by the seed;
    or one network, for one seed. The column `batch` is the batch's fingerprint. The other
    arguments are those of `foretell.score`.

    Raises ForetellError where `foretell.score` does, or for several seeds of one network.

    >>> import torch
    >>> batch = (torch.ones(3, 4), torch.tensor([0, 1, 0]))
    >>> runs = score_many(lambda seed: nn.Linear(4, 2), [batch], seeds=[0, 1], proxies=["params"])
    >>> runs[["seed", "proxy", "value"]].values.tolist()
    [[0, 'params', 10.0], [1, 'params', 10.0]]
    """
    settings, checked = settings_of(scoring, choices), [as_batch(batch) for batch in batches]
    if not checked or not len(seeds):
        raise ForetellError("give at least one batch and one seed")
    if isinstance(model, nn.Module) and len(seeds) > 1:
        raise ForetellError(
            f"{len(seeds)} seeds for one network: its weights are drawn already; give a function "
            "of the seed that builds it"
        )
    rows: list[dict[str, Any]] = []
    for number, seed in enumerate(seeds):
        built = model if isinstance(model, nn.Module) else model(seed)
        for place, batch in enumerate(checked):
            scores = score(built, batch, proxies, seed=seed, scoring=settings)
            rows.extend(
                {
                    "run": number * len(checked) + place,
                    "seed": seed,
                    "batch": batch.fingerprint,
                    "proxy": name,
                    "value": one.value,
                    "seconds": one.seconds,
                    "why": one.why or "",
                }
                for name, one in scores.items()
            )
    return pd.DataFrame(rows)


def summary(runs: pd.DataFrame) -> pd.DataFrame:
    """A row a proxy, of the runs of `score_many`.

    `mean` and `std` (of a sample; nan of one run) are over the runs where the score is defined,
    `runs` are all and `undefined` those where it is not, with the first reason as `why`; `seconds`
    are those of all runs together.

    >>> runs = pd.DataFrame({"proxy": ["snip"] * 3, "value": [1.0, 3.0, float("nan")],
    ...                      "seconds": [1.0] * 3, "why": ["", "", "no weights"]})
    >>> summary(runs)[["mean", "std", "runs", "undefined", "why"]].values.tolist()
    [[2.0, 1.4142..., 3, 1, 'no weights']]
    """
    groups = runs.groupby("proxy", sort=False)
    values = groups["value"]
    return pd.DataFrame(
        {
            "mean": values.mean(),
            "std": values.std(),
            "runs": values.size(),
            "undefined": values.size() - values.count(),
            "seconds": groups["seconds"].sum(),
            "why": groups["why"].agg(lambda reasons: next(filter(None, reasons), "")),
        }
    )


def rank_many(
    models: Mapping[str, Build],
    batches: Callable[[str], Sequence[Batch]],
    seeds: Sequence[int] = (0,),
    proxies: Request = DEFAULT,
    *,
    by: str | None = None,
    scoring: ScoreSettings = ScoreSettings(),
    **choices: Unpack[ScoreChoices],
) -> pd.DataFrame:
    """What `foretell.rank` gives, of the means over several batches and seeds.

    `batches` gives those for the model of a name, such as the same images in the size it wants.
    Of several runs there is a column `PROXY_std` for each proxy, and `why` says in how many a score
    is undefined; its mean is over the others.

    >>> import torch
    >>> batch = Batch(torch.eye(2), torch.tensor([0, 1]))
    >>> models = {f"width {w}": lambda seed, w=w: nn.Linear(2, w) for w in (3, 9)}
    >>> rank_many(models, lambda name: [batch, batch], proxies=["params"]).iloc[:, :3]
             params  params_std  rank
    model
    width 9    27.0         0.0     1
    width 3     9.0         0.0     2
    """
    settings = settings_of(scoring, choices)
    names = [proxy.name for proxy in make_plan(proxies).proxies]
    by = column_for(by, names)
    rows = []
    for name, build in models.items():
        try:
            runs = score_many(build, batches(name), seeds, proxies, scoring=settings)
            row = row_of(runs)
        except ForetellError as error:
            row = {**dict.fromkeys(names, float("nan")), "seconds": 0.0, "why": str(error)}
        rows.append({"model": name, **row})
    if not rows:
        raise ForetellError("there is no model to rank; give at least one")
    return in_order(in_columns(pd.DataFrame(rows).set_index("model"), names), by)


def row_of(runs: pd.DataFrame) -> dict[str, Any]:
    """One model's means, and their spread where there are several runs."""
    table = summary(runs)
    row = {str(name): float(mean) for name, mean in table["mean"].items()}
    if table["runs"].max() > 1:
        row |= {f"{name}_std": float(std) for name, std in table["std"].items()}
    reasons = []
    for one in table.reset_index().to_dict(orient="records"):
        some = f" (in {one['undefined']} of {one['runs']} runs)"
        if one["undefined"]:
            reasons.append(
                f"{one['proxy']}: {one['why']}{some if one['undefined'] < one['runs'] else ''}"
            )
    each = runs.groupby("run")["seconds"].max()  # the slowest score took all the passes
    return {**row, "seconds": float(each.sum()), "why": "; ".join(reasons)}


def in_columns(table: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Scores first, then their spread, and at the end `seconds` and `why`."""
    spread = [name for name in table if str(name).endswith("_std")]
    return table[[*names, *spread, "seconds", "why"]]
