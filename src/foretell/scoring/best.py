"""Find the best of many models in rounds: all on a few samples, and the promising ones in full.

In the first round, every model is scored by what it is ranked by alone, on a few samples. A pilot,
which is a random sample of the models, is scored in full as well and shows how far the first round
can be trusted (`foretell.scoring.chances`). Models are left out if their chances to be among the
best add up to at most 5 % of the best; the others are scored in full, in portions, and after each
portion the chances are estimated again.

The pilot depends on the names of the models alone, and the chances on nothing but what is ranked
by. So neither the order of the models nor other scores change which models are left out.

The points of a ranking depend on the whole pool. In it, a model that is left out is represented by
the full scores of the model that is nearest to it in the first round.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from foretell.batch import Batch, in_rows
from foretell.engine.plan import make_plan
from foretell.rankings import Ranking, by_points, oriented, places, points, scores_of
from foretell.rankings.sizes import SIZES
from foretell.scoring.chances import PILOT, Floats, Mask, Selected, select
from foretell.scoring.factories import Build
from foretell.scoring.many import as_batches
from foretell.scoring.rows import Scorer, batches_for
from foretell.seeds import derived_seed

__all__ = ["Pool", "Rounds", "as_table", "in_rounds", "is_small"]

FEW, SHARE, FEWEST = 8, 4, 2
"""The first round has eight samples, but at most a quarter of the batch, and at least two."""

SMALL, TIMES = 60, 4
"""A pool of at most 60 models, or of at most four times the best, is scored in full at once."""


@dataclass(frozen=True)
class Rounds:
    """How many models were scored in which round, and what it took."""

    best: int
    first: int
    """The number of models in the first round: all, or none if the pool is small."""
    in_full: int
    correlation: float | None = None
    """What the correlation of the first round and the full scores is at least, with 95 %
    confidence; None without a first round."""
    expected_lost: float = 0.0
    """The expected number of models among the best that were left out."""
    first_seconds: float = 0.0
    full_seconds: float = 0.0
    all_seconds: float = 0.0
    """The seconds of scoring all models in full, estimated from the pilot."""


@dataclass(frozen=True)
class Pool:
    """The models, in the order given, of which some are left out."""

    table: pd.DataFrame
    """The rows; those of models that are left out have only sizes and the reason."""
    represented: pd.DataFrame
    """The rows, with others in place of those of models that are left out."""
    scored: "pd.Series[bool]"
    """Which models are scored in full."""
    first: "pd.Series[float]"
    """What the models are ranked by, as computed in the first round."""
    order: "pd.Series[float]"
    """Their order in the first round, −1 for the best."""
    rounds: Rounds


def is_small(count: int, best: int) -> bool:
    """Whether so few models are all scored in full, because a first round would not pay off.

    >>> is_small(80, 20), is_small(81, 20)
    (True, False)
    """
    return count <= max(SMALL, TIMES * best)


def in_rounds(models: Mapping[str, Build], scorer: Scorer, by: Ranking | str, best: int) -> Pool:
    """Score all models on a few samples, and in full those that can be among the best."""
    few = first_scorer(scorer, by)
    first = as_table({name: few.row(name, build) for name, build in models.items()})
    defined = first[few.names].notna().any(axis=1)
    guess = as_floats(order_of(by, first).where(defined))
    keys = np.array([derived_seed(0, "pilot", str(name)) for name in first.index])
    pilot = np.isin(keys, np.sort(keys[defined])[:PILOT]) & defined.to_numpy()
    rows: dict[str, dict[str, Any]] = {}

    def full(known: Mask) -> Floats:
        new = [name for name in first.index[known] if name not in rows]
        scorer.tally.expect("score", len(new))
        rows.update({name: scorer.row(name, models[name]) for name in new})
        standing = represented(as_table(rows), first.index, guess, keys)
        return as_floats(order_of(by, standing))

    selected = select(guess, pilot, best, full)
    scored = as_table(rows)
    table = pd.concat([scored, left_out(first, selected, best)]).loc[first.index]
    table["seconds"] += first["seconds"].where(selected.scored, 0.0)
    mean = scored["seconds"][first.index[pilot]].mean() if pilot.any() else np.nan
    return Pool(
        table,
        represented(table[selected.scored], first.index, guess, keys),
        pd.Series(selected.scored, first.index),
        value_of(by, first),
        pd.Series(guess, first.index),
        Rounds(
            best,
            len(first),
            int(selected.scored.sum()),
            selected.correlation,
            float(selected.chances[~selected.scored].sum()),
            float(first["seconds"].sum()),
            float(scored["seconds"].sum()),
            float(mean * len(first)),
        ),
    )


def first_scorer(scorer: Scorer, by: Ranking | str) -> Scorer:
    """Scores what is ranked by, and the sizes, on a few samples of the first batch, once."""
    needed = scores_of(by) if isinstance(by, Ranking) else (by,)
    sizes = [name for name in SIZES if name in scorer.names]
    names = list(dict.fromkeys((*needed, *sizes)))
    settings = make_plan(scorer.proxies).settings
    return replace(
        scorer,
        batches=partial(few_of, scorer),
        proxies={name: settings.get(name, {}) for name in names},
        names=names,
        seeds=scorer.seeds[:1],
        without_loss=[],
    )


def few_of(scorer: Scorer, name: str) -> Batch:
    """A few samples, evenly spaced, of the first batch of a model."""
    given = batches_for(name, scorer.batches) if callable(scorer.batches) else scorer.batches
    whole = as_batches(given, own_loss=scorer.scoring.loss == "own")[0]
    count = min(FEW, max(FEWEST, len(whole) // SHARE))
    rows = list(range(0, len(whole), max(1, len(whole) // count)))[:count]
    return Batch(in_rows(whole.inputs, rows), in_rows(whole.targets, rows, len(whole)))


def as_table(rows: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """The rows by the name of the model."""
    return pd.DataFrame([{"model": name, **row} for name, row in rows.items()]).set_index("model")


def as_floats(column: "pd.Series[float]") -> Floats:
    """The values of a column."""
    return np.asarray(column, dtype=np.float64)


def value_of(by: Ranking | str, table: pd.DataFrame) -> "pd.Series[float]":
    """What models are ranked by: a score, or the points of a ranking."""
    return points(by, table) if isinstance(by, Ranking) else table[by].astype(float)


def order_of(by: Ranking | str, table: pd.DataFrame) -> "pd.Series[float]":
    """The order of models as a score: −1 for the best."""
    order = places(by, table) if isinstance(by, Ranking) else by_points(oriented(table[[by]])[by])
    return -order.astype(float)


def represented(
    scored: pd.DataFrame, names: "pd.Index[Any]", guess: Floats, keys: NDArray[np.int64]
) -> pd.DataFrame:
    """A row for each name: its own if it is scored in full, or else that of the scored model which
    is nearest in the first round.

    `keys` decide between equal ones.
    """
    own = names.isin(scored.index)
    place = rankdata(np.where(np.isnan(guess), -np.inf, guess))
    there = np.flatnonzero(own & ~np.isnan(guess))
    there = there[np.lexsort((keys[there], place[there]))]
    stands = np.arange(len(names))
    if not own.all():
        above = np.searchsorted(place[there], place[~own]).clip(1, len(there) - 1)
        low, high = there[above - 1], there[above]
        nearer = place[~own] - place[low] < place[high] - place[~own]
        stands[~own] = np.where(nearer, low, high)
    table = scored.loc[names[stands]]
    return table.set_index(names)


def left_out(first: pd.DataFrame, selected: Selected, best: int) -> pd.DataFrame:
    """The rows of the models that are left out: their sizes, and the reason."""
    sizes = [name for name in SIZES if name in first]
    rows = first.loc[~selected.scored, [*sizes, "seconds"]].copy()
    why = [
        f"left out after the first round: chance {percent(chance)} to be among the best {best}"
        for chance in selected.chances[~selected.scored]
    ]
    return rows.assign(why=pd.Series(why, rows.index, dtype=str))


def percent(chance: float) -> str:
    """A small chance in words.

    >>> percent(0.0123), percent(1e-9)
    ('1.2 %', 'below 0.01 %')
    """
    return f"{100 * chance:.2g} %" if chance >= 1e-4 else "below 0.01 %"
