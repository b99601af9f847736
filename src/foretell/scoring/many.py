"""Score a network on several batches and with several draws of its weights: mean and spread."""

from collections.abc import Sequence
from typing import Any, Unpack

import pandas as pd

from foretell.batch import Batch, as_batch
from foretell.engine.plan import DEFAULT, Request
from foretell.errors import ForetellError
from foretell.progress import ProgressCallback, Tally
from foretell.scoring.factories import Model, builder, built
from foretell.scoring.score import score
from foretell.scoring.settings import ScoreChoices, ScoreSettings, settings_of

__all__ = ["Batches", "as_batches", "as_seeds", "score_many", "summary"]

Pair = Batch | Sequence[Any]
"""A `Batch`, or a pair (inputs, targets)."""

Batches = Pair | Sequence[Pair]
"""One batch, or a list of them."""


def score_many(
    model: Model,
    batches: Batches,
    proxies: Request = DEFAULT,
    *,
    seeds: Sequence[int] = (0,),
    scoring: ScoreSettings = ScoreSettings(),
    progress: ProgressCallback | None = None,
    **choices: Unpack[ScoreChoices],
) -> pd.DataFrame:
    """A row for each seed, batch and proxy: `value`, nan where it is undefined, `seconds`, `why`.

    `model` is a function of the seed that builds the network anew, its weights drawn with the seed;
    or one network, for one seed. `batches` is one batch or a list of them; the column `batch` is
    the batch's fingerprint. `progress` is called with a `Progress` after each seed and batch. The
    other arguments are those of `foretell.score`.

    Raises ForetellError where `foretell.score` does, or for several seeds of one network.

    >>> import torch
    >>> from torch import nn
    >>> batch = (torch.ones(3, 4), torch.tensor([0, 1, 0]))
    >>> runs = score_many(lambda seed: nn.Linear(4, 2), batch, ["params"], seeds=[0, 1])
    >>> runs[["seed", "proxy", "value"]].values.tolist()
    [[0, 'params', 10.0], [1, 'params', 10.0]]
    """
    settings, checked, drawn = settings_of(scoring, choices), as_batches(batches), as_seeds(seeds)
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


def as_batches(batches: Batches) -> list[Batch]:
    """One batch, or each of a list, checked as `as_batch` does.

    What a list holds are batches where each is a `Batch` or has two entries; else it is one pair.

    >>> import torch
    >>> pair = (torch.zeros(2, 3), torch.zeros(2))
    >>> len(as_batches(pair)), len(as_batches([pair])), len(as_batches([pair, Batch(*pair)]))
    (1, 1, 2)
    """
    if isinstance(batches, Batch) or not isinstance(batches, list | tuple):
        return [as_batch(batches)]
    if not batches:
        raise ForetellError("there is no batch to score on; give at least one")
    pairs = (list, tuple) if isinstance(batches, list) else ()
    if all(isinstance(one, Batch) or (isinstance(one, pairs) and len(one) == 2) for one in batches):
        return [as_batch(one) for one in batches]
    return [as_batch(batches)]


def as_seeds(seeds: Sequence[int]) -> list[int]:
    """The seeds as a list; raises ForetellError unless there is at least one.

    >>> as_seeds(range(2))
    [0, 1]
    """
    if isinstance(seeds, int):
        raise ForetellError(f"seeds is {seeds}; give a list of seeds, such as [{seeds}]")
    if not len(seeds):
        raise ForetellError("there is no seed to score with; give at least one")
    return list(seeds)


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
