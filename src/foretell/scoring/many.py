"""Score a network on several batches and with several initialisations: mean and spread."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from numbers import Integral
from typing import Any, Unpack

import pandas as pd

from foretell.batch import Batch, Given, as_batch
from foretell.checks import as_instance, as_seed, wrong
from foretell.engine.plan import DEFAULT, Request
from foretell.errors import ForetellError, shown
from foretell.progress import ProgressCallback, Tally
from foretell.rankings.vote import numbers
from foretell.scoring.factories import Model, builder, built
from foretell.scoring.score import score
from foretell.scoring.settings import ScoreChoices, ScoreSettings, settings_of

__all__ = ["Batches", "as_batches", "as_seeds", "score_many", "summary"]

Pair = Given
"""A `Batch`, a pair (inputs, targets), or anything else that `as_batch` accepts."""

Batches = Pair | Sequence[Pair]
"""One batch, or a list of them."""


def score_many(
    model: Model,
    batches: Batches,
    proxies: Request = DEFAULT,
    *,
    seeds: Iterable[int] = (0,),
    scoring: ScoreSettings = ScoreSettings(),
    progress: ProgressCallback | bool | None = None,
    **choices: Unpack[ScoreChoices],
) -> pd.DataFrame:
    """Score a network for each seed and batch: one row per seed, batch and proxy.

    The columns are `run` (the number of the combination of seed and batch), `seed`, `batch` (the
    fingerprint of the batch), `proxy`, `value` (nan if it is undefined), `seconds`, and `why`, the
    reason for an undefined value.

    `model` is a function that takes a seed and builds the network with weights drawn from it, or,
    for a single seed, a network. `batches` is one batch or a list of them. `progress` is called
    with a `Progress` after each seed and batch. The other arguments are those of `foretell.score`.

    Raises ForetellError like `foretell.score`, and for several seeds if `model` is a network.

    >>> import torch
    >>> from torch import nn
    >>> batch = (torch.ones(3, 4), torch.tensor([0, 1, 0]))
    >>> runs = score_many(lambda seed: nn.Linear(4, 2), batch, ["params"], seeds=[0, 1])
    >>> runs[["seed", "proxy", "value"]].values.tolist()
    [[0, 'params', 10.0], [1, 'params', 10.0]]
    """
    settings, drawn = settings_of(scoring, choices), as_seeds(seeds)
    checked = as_batches(batches, own_loss=settings.loss == "own")
    build = builder(model, drawn)
    tally = Tally(progress, {"score": len(drawn) * len(checked)})
    rows: list[dict[str, Any]] = []
    for number, seed in enumerate(drawn):
        network = built(build, seed)
        for place, batch in enumerate(checked):
            scores = score(network, batch, proxies, seed=seed, scoring=settings)
            about = {
                "run": number * len(checked) + place,
                "seed": seed,
                "batch": batch.fingerprint,
            }
            rows.extend(
                {
                    **about,
                    "proxy": name,
                    "value": one.value,
                    "seconds": one.seconds,
                    "why": one.why or "",
                }
                for name, one in scores.items()
            )
            tally.add("score", f"seed {seed}, batch {about['batch']}")
    return pd.DataFrame(rows)


def as_batches(batches: Batches, *, own_loss: bool = False) -> list[Batch]:
    """A list of batches, each converted by `as_batch`.

    A list is taken for several batches if each entry is a `Batch` or has two entries itself, and
    for one pair (inputs, targets) otherwise.

    >>> import torch
    >>> pair = (torch.zeros(2, 3), torch.zeros(2))
    >>> len(as_batches(pair)), len(as_batches([pair])), len(as_batches([pair, Batch(*pair)]))
    (1, 1, 2)
    """
    if not isinstance(batches, list | tuple):
        return [as_batch(batches, own_loss=own_loss)]
    if not batches:
        raise ForetellError("the list of batches is empty; give at least one batch to score on")
    pairs = (list, tuple) if isinstance(batches, list) else ()
    if all(isinstance(one, Batch) or (isinstance(one, pairs) and len(one) == 2) for one in batches):
        return [as_batch(one) for one in batches]
    return [as_batch(batches, own_loss=own_loss)]


def as_seeds(seeds: Iterable[int]) -> list[int]:
    """The seeds as a list. Raises ForetellError if it is empty, or an entry is not a seed.

    >>> as_seeds(range(2))
    [0, 1]
    """
    if isinstance(seeds, Integral) and not isinstance(seeds, bool):
        raise ForetellError(f"seeds is {shown(seeds)}; give a list of seeds, such as [{seeds}]")
    if not isinstance(seeds, Iterable) or isinstance(seeds, str | bytes | Mapping):
        raise wrong("seeds", seeds, "a list of seeds, such as [0, 1]")
    drawn = [as_seed("an entry of seeds", seed) for seed in islice(seeds, MOST_SEEDS + 1)]
    if not drawn:
        raise ForetellError("the list of seeds is empty; give at least one, such as [0]")
    if len(drawn) > MOST_SEEDS:
        raise ForetellError(f"there are more than {MOST_SEEDS:,} seeds; give fewer")
    return drawn


MOST_SEEDS = 1_000_000
"""The maximum number of seeds, which stops an endless iterator."""

SUMMARISED = ("proxy", "value", "seconds", "why")
"""The columns of `score_many` that are summarised."""


def summary(runs: pd.DataFrame) -> pd.DataFrame:
    """Summarise the rows of `score_many`: one row per proxy, with mean and standard deviation.

    `mean` and `std` (the sample standard deviation, nan for a single run) are over the runs in
    which the score is defined. `runs` counts all runs, and `undefined` those in which the score is
    undefined, for the reason given first in `why`. `seconds` is the total of all runs.

    >>> runs = pd.DataFrame({"proxy": ["snip"] * 3, "value": [1.0, 3.0, float("nan")],
    ...                      "seconds": [1.0] * 3, "why": ["", "", "no weights"]})
    >>> summary(runs)[["mean", "std", "runs", "undefined", "why"]].values.tolist()
    [[2.0, 1.4142..., 3, 1, 'no weights']]
    """
    as_instance("runs", runs, pd.DataFrame, "the table of score_many")
    for name in SUMMARISED:
        if name not in runs:
            raise ForetellError(f"runs has no column {name!r}; give the table of score_many")
    for name in ("value", "seconds"):
        numbers(runs[[name]], "runs")
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
