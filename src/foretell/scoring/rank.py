"""Score many models on the same minibatches and put them in order."""

from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from typing import Any, Unpack

import pandas as pd
from torch import nn

from foretell.engine.plan import DEFAULT, Request, make_plan
from foretell.errors import ForetellError
from foretell.progress import ProgressCallback, Tally
from foretell.proxies import PROXIES
from foretell.scoring.factories import Build, Model, builder
from foretell.scoring.many import Batches, as_batches, as_seeds, score_many, summary
from foretell.scoring.settings import ScoreChoices, ScoreSettings, settings_of
from foretell.scoring.vote import VOTERS, oriented, vote, wins

__all__ = ["Models", "rank"]

Models = Mapping[str, Model] | Iterable[Model]


def rank(
    models: Models,
    batches: Batches | Callable[[str], Batches],
    proxies: Request = DEFAULT,
    *,
    by: str | None = None,
    seeds: Sequence[int] = (0,),
    scoring: ScoreSettings = ScoreSettings(),
    progress: ProgressCallback | None = None,
    **choices: Unpack[ScoreChoices],
) -> pd.DataFrame:
    """A row a model, the most promising first.

    - `models` maps names to models, or to functions of the seed that build one when its turn comes
      and let it go afterwards; a sequence of models is numbered.
    - `batches` is one batch or a list of them, the same for all models; or a function that gives
      those of the model of a name, such as the same images in the size it wants.
    - `by` names the column to rank by: a proxy, or "vote", the default where its three voters are
      among the proxies.
    - `seeds`: each scores every model anew, built with it; several need functions of the seed.
    - `progress` is called with a `Progress` after each model.

    The other arguments are those of `foretell.score`.

    Columns: a score for each proxy; `wins`, where the voters are there; `rank`, from 1;
    `seconds`, all its passes; `why`, what was undefined and the reason. Of several batches or seeds
    a score is the mean of those where it is defined, with a column `PROXY_std` beside it, and `why`
    says in how many it is undefined. A model that cannot be scored stays in the table, last, with
    its reason.

    Raises ForetellError for a request that no model could meet.

    >>> import torch
    >>> models = {f"width {w}": nn.Sequential(nn.Linear(2, w), nn.Linear(w, 2)) for w in (3, 9)}
    >>> rank(models, (torch.eye(2), torch.tensor([0, 1])), ["params"])[["params", "rank"]]
             params  rank
    model
    width 9    47.0     1
    width 3    17.0     2
    """
    names = [proxy.name for proxy in make_plan(proxies).proxies]
    by, settings, drawn = column_for(by, names), settings_of(scoring, choices), as_seeds(seeds)
    given = batches if callable(batches) else as_batches(batches)
    tally = Tally(progress, {"score": len(models) if isinstance(models, Sized) else None})
    rows = []
    for name, build in named(models, drawn):
        try:
            own = given(name) if callable(given) else given
            row = row_of(score_many(build, own, proxies, seeds=drawn, scoring=settings))
        except ForetellError as error:
            row = {**dict.fromkeys(names, float("nan")), "seconds": 0.0, "why": str(error)}
        rows.append({"model": name, **row})
        tally.add("score", name)
    if not rows:
        raise ForetellError("there is no model to rank; give at least one")
    return in_order(in_columns(pd.DataFrame(rows).set_index("model"), names), by)


def column_for(by: str | None, names: Sequence[str]) -> str:
    """The column to rank by: the one asked for, else vote where its voters are, else the first."""
    if by is None:
        by = "vote" if set(VOTERS) <= set(names) else names[0]
    if by not in names and not (by == "vote" and set(VOTERS) <= set(names)):
        raise ForetellError(f"cannot rank by {by!r}: the columns are {', '.join(names)}")
    return by


def named(models: Models, seeds: Sized) -> Iterable[tuple[str, Build]]:
    """What builds each model, with its name or its number; an iterator's are taken one by one.

    Raises ForetellError for what is not several models, and as `builder` does.
    """
    if isinstance(models, nn.Module) or not isinstance(models, Iterable):
        raise ForetellError("rank compares several models: give a dict or a list of them")
    pairs: Iterable[tuple[str, Model]] = (
        models.items()
        if isinstance(models, Mapping)
        else ((str(number), model) for number, model in enumerate(models))
    )
    built = ((name, builder(model, seeds)) for name, model in pairs)
    return list(built) if isinstance(models, Mapping | Sequence) else built


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


def in_order(table: pd.DataFrame, by: str) -> pd.DataFrame:
    """The table with `wins` and `rank`, sorted by rank."""
    scores = [name for name in table if name in PROXIES]
    if set(VOTERS) <= set(scores):
        table.insert(len(scores), "wins", wins(table[list(VOTERS)]))
    if by == "vote":
        ranks = vote(table)
    else:
        ranks = oriented(table[[by]])[by].rank(ascending=False, method="min").astype(int)
    table.insert(len(table.columns) - 2, "rank", ranks)
    return table.sort_values("rank", kind="stable")
