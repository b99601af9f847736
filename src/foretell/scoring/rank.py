"""Score many models on the same minibatch and put them in order."""

from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from typing import Any, Unpack

import numpy as np
import pandas as pd
from torch import nn

from foretell.batch import Batch, as_batch
from foretell.engine.plan import DEFAULT, Request, make_plan
from foretell.errors import ForetellError
from foretell.progress import ProgressCallback, Tally
from foretell.proxies import PROXIES
from foretell.scoring.score import score
from foretell.scoring.settings import ScoreChoices, ScoreSettings, settings_of
from foretell.scoring.vote import VOTERS, oriented, vote, wins

__all__ = ["rank"]

Models = Mapping[str, nn.Module | Callable[[], nn.Module]] | Iterable[nn.Module]


def rank(
    models: Models,
    batch: Batch | Sequence[Any],
    proxies: Request = DEFAULT,
    *,
    by: str | None = None,
    seed: int = 0,
    scoring: ScoreSettings = ScoreSettings(),
    progress: ProgressCallback | None = None,
    **choices: Unpack[ScoreChoices],
) -> pd.DataFrame:
    """A row a model, the most promising first.

    `models` maps names to models, or to functions that build one when its turn comes and let it go
    afterwards; a sequence of models is numbered. All see the same minibatch. `by` names the column
    to rank by: a proxy, or "vote", the default where its three voters are among the proxies.

    Columns: a score for each proxy; `wins`, where the voters are there; `rank`, from 1;
    `seconds`, all its passes; `why`, what was undefined and the reason. A model that cannot be
    scored stays in the table, last, with its reason. The other arguments are those of
    `foretell.score`. `progress` is called with a `Progress` after each model.

    >>> import torch
    >>> models = {f"width {w}": nn.Sequential(nn.Linear(2, w), nn.Linear(w, 2)) for w in (3, 9)}
    >>> rank(models, (torch.eye(2), torch.tensor([0, 1])), ["params"])[["params", "rank"]]
             params  rank
    model
    width 9    47.0     1
    width 3    17.0     2
    """
    plan = make_plan(proxies)
    names = [proxy.name for proxy in plan.proxies]
    by = column_for(by, names)
    checked, settings = as_batch(batch), settings_of(scoring, choices)
    tally = Tally(progress, {"score": len(models) if isinstance(models, Sized) else None})
    rows = []
    for name, model in named(models):
        try:
            built = model if isinstance(model, nn.Module) or not callable(model) else model()
            scores = score(built, checked, proxies, seed=seed, scoring=settings)
            why = "; ".join(f"{key}: {s.why}" for key, s in scores.items() if s.why)
            row = {key: s.value for key, s in scores.items()}
            seconds = max(s.seconds for s in scores.values())
        except ForetellError as error:
            row, seconds, why = dict.fromkeys(names, np.nan), 0.0, str(error)
        rows.append({"model": name, **row, "seconds": seconds, "why": why})
        tally.add("score", name)
    if not rows:
        raise ForetellError("there is no model to rank; give at least one")
    return in_order(pd.DataFrame(rows).set_index("model"), by)


def column_for(by: str | None, names: Sequence[str]) -> str:
    """The column to rank by: the one asked for, else vote where its voters are, else the first."""
    by = by or ("vote" if set(VOTERS) <= set(names) else names[0])
    if by not in names and not (by == "vote" and set(VOTERS) <= set(names)):
        raise ForetellError(f"cannot rank by {by!r}: the columns are {', '.join(names)}")
    return by


def named(models: Models) -> Iterable[tuple[str, Any]]:
    """The models with their names, or their numbers."""
    if isinstance(models, Mapping):
        return models.items()
    if isinstance(models, nn.Module) or not isinstance(models, Iterable):
        raise ForetellError("rank compares several models: give a dict or a list of them")
    return ((str(number), model) for number, model in enumerate(models))


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
