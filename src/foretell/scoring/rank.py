"""Score several models on the same minibatches and rank them."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import asdict
from functools import partial
from typing import Any, Unpack

import pandas as pd
from torch import nn

from foretell.checks import as_choice, as_integer, optional
from foretell.engine.failures import any_error, complaint_of
from foretell.engine.plan import Request, make_plan, plain_name
from foretell.errors import ForetellError, shown
from foretell.progress import ProgressCallback, Tally
from foretell.proxies import PROXIES
from foretell.rankings import (
    FAMILIES,
    RANKINGS,
    Ranking,
    by_points,
    dropped,
    find_ranking,
    is_ranking,
    oriented,
    places,
    points,
    scores_for,
    scores_of,
    without,
)
from foretell.rankings.sizes import SIZES, agreement, strata
from foretell.rankings.vote import VOTERS, wins
from foretell.scoring.best import Pool, Rounds, as_table, in_rounds, is_small
from foretell.scoring.factories import Build, Model, builder
from foretell.scoring.many import Batches, as_batches, as_seeds
from foretell.scoring.rows import Scorer
from foretell.scoring.settings import ScoreChoices, ScoreSettings, settings_of

__all__ = ["Models", "rank", "usual_by"]

Models = Mapping[str, Model] | Iterable[Model]

FIRST_ROUND = "first_round"
"""The column with what the models are ranked by, as computed in the first round."""

USUAL = ("anchored", "vote")
"""The rankings that are used if none is given: the first whose scores are all among the proxies."""


def rank(
    models: Models,
    batches: Batches | Callable[[str], Batches],
    proxies: Request | None = None,
    *,
    by: str | None = None,
    at_equal: str | None = None,
    best: int | None = None,
    reduced: Mapping[str, Model] | None = None,
    seeds: Iterable[int] = (0,),
    scoring: ScoreSettings = ScoreSettings(),
    progress: ProgressCallback | bool | None = None,
    **choices: Unpack[ScoreChoices],
) -> pd.DataFrame:
    """One row per model, the most promising first.

    - `models` maps names to models, or to functions of the seed that build one. Each function is
      called when it is its model's turn, so that only one model is in memory at a time. The models
      of a sequence are numbered.
    - `batches` is one batch or a list of them for all models, or a function that takes the name of
      a model and returns its batches, such as the same images in the size that it requires.
    - `proxies` are by default what `by` needs, and the sizes that every score must outrank: params,
      flops, both without what no output depends on (params_used, flops_used), layers and depth.
    - `by` names a proxy to rank by, or a ranking: "vote", or "log_rank:snip,flops" with any
      scores, or "log_rank" for all the proxies. The default is "anchored", or if the proxies lack
      one of its scores, "vote", or if they lack one of its scores too, the first proxy. A ranking
      depends on all the models: one more model can change the order of the others.
    - `at_equal` names one of these sizes. Models are then ranked among those of about equal size
      only: `stratum` numbers up to ten groups by size, from 1, the smallest, and `rank`, `wins` and
      `agreement` are within them. Models whose size is undefined form the last group.
    - `best` finds this many of the best without scoring all models in full, for pools of more than
      60 and more than four times as many. All are scored by what `by` needs on a few samples, with
      the first seed and batch, and 40 of them in full. From the agreement of the two follows the
      chance of each other model to be among the best. Models are left out whose chances add up to
      at most 5 % of `best`; the others are scored in full. So at most 5 % of the best are lost in
      expectation, compared with scoring all in full. Each model is built twice, and `models` cannot
      be an iterator.
    - `reduced` maps the names of `models` to cheaper forms of them, such as those
      with fewer cells (docs/python.md). All scores except the sizes are then theirs.
    - `seeds`: every model is built and scored once per seed. Several seeds require functions of
      the seed.
    - `progress` is called with a `Progress` after each model.

    The other arguments are those of `foretell.score`.

    Columns: one score per proxy; `wins`, if all three voters are among the proxies; `rank`, from 1;
    `agreement`, if there are two scores other than sizes: "agree" for a model that all of them
    place in the same third, "disagree" for one that is in the best third by one and in the worst by
    another; `seconds`, the time of all passes; `why`, which scores are undefined and the reason. If
    `by` is a ranking, there are also its points in a column of its name (`wins` for the vote), and
    for each of its members, `rank_without_MEMBER`, the rank without this member; a model that is
    ranked without some member, because it is undefined, says so in `why`. With
    several batches or seeds, a score is the mean of the runs in which it is defined, `PROXY_std` is
    their standard deviation, and `why` says in how many runs it is undefined. A model that cannot
    be scored is listed last, with the reason.

    With `best`, `first_round` is what the models are ranked by as computed in the first round. A
    model that is left out is listed after all that are scored in full. It has its sizes, and for
    other scores `nan`, with its chance in `why`. A ranking also compares models with those that are
    left out; each of these is represented by the full scores of the model that is nearest in the
    first round. `table.attrs["rounds"]` says how many models were scored in which round, and how
    long it took.

    Raises ForetellError for arguments that are wrong for every model, such as a loss that can be
    computed for none.

    >>> import torch
    >>> models = {f"width {w}": nn.Sequential(nn.Linear(2, w), nn.Linear(w, 2)) for w in (3, 9)}
    >>> rank(models, (torch.eye(2), torch.tensor([0, 1])), ["params"])[["params", "rank"]]
             params  rank
    model
    width 9    47.0     1
    width 3    17.0     2
    """
    by = plain_name(by) if isinstance(by, str) else by
    asked = request_for(by) if proxies is None else proxies
    names = [proxy.name for proxy in make_plan(asked).proxies]
    chosen, settings, drawn = chosen_by(by, names), settings_of(scoring, choices), as_seeds(seeds)
    require_size(at_equal, names)
    own_loss = settings.loss == "own"
    given = batches if callable(batches) else as_batches(batches, own_loss=own_loss)
    tally = Tally(progress, {"score": len(models) if isinstance(models, Sized) else None})
    built = named(models, drawn)
    forms = forms_of(models, reduced, drawn)
    scorer = Scorer(given, asked, names, drawn, settings, tally, forms)
    best = as_best(best, at_equal, models)
    if best is None:
        table = all_rows(built, scorer)
        return at_equal_size(table, chosen, at_equal) if at_equal else in_order(table, chosen)
    return best_of(dict(built), scorer, chosen, best)


def all_rows(models: Iterable[tuple[str, Build]], scorer: Scorer) -> pd.DataFrame:
    """The rows of all models, scored in full. Raises ForetellError if there are none, or if the
    loss can be computed for none."""
    rows = {name: scorer.row(name, build) for name, build in models}
    if not rows:
        raise ForetellError("models is empty; give at least one model to rank")
    require_loss(scorer, len(rows))
    return in_columns(as_table(rows), scorer.names)


def require_loss(scorer: Scorer, scored: int) -> None:
    """Raise LossFailed if the loss could be computed for none of the models."""
    if len(scorer.without_loss) == scored:
        raise scorer.without_loss[0]


def best_of(
    models: Mapping[str, Build], scorer: Scorer, by: Ranking | str, best: int
) -> pd.DataFrame:
    """The table of the models scored in rounds; `attrs["rounds"]` describes these."""
    if is_small(len(models), best):
        table = in_order(all_rows(models.items(), scorer), by)
        table.insert(len(table.columns) - 2, FIRST_ROUND, float("nan"))
        rounds = Rounds(best, 0, len(table))
    else:
        pool = in_rounds(models, scorer, by, best)
        require_loss(scorer, pool.rounds.in_full)
        table, rounds = best_first(pool, scorer.names, by), pool.rounds
    table.attrs["rounds"] = asdict(rounds)
    return table


def best_first(pool: Pool, names: Sequence[str], by: Ranking | str) -> pd.DataFrame:
    """The table in order, with the models that are left out at the end."""
    table = in_order(in_columns(pool.represented, names), by)
    scored = pool.scored[table.index]
    for name in [str(column) for column in table]:
        if name.startswith("rank"):
            table[name] = by_points(-table[name].where(scored))
        elif name in pool.table:
            table[name] = table[name].where(scored, pool.table[name])
        else:
            table[name] = table[name].where(scored, "" if name == "agreement" else float("nan"))
    table.insert(len(table.columns) - 2, FIRST_ROUND, pool.first)
    table["order"] = -pool.order.where(~pool.scored, 0.0)
    return table.sort_values(["rank", "order"], kind="stable").drop(columns="order")


def request_for(by: str | None) -> tuple[str, ...]:
    """The default proxies of a ranking by this name: the scores that it requires, and the sizes.

    >>> request_for("log_rank:zen,flops")[:3]
    ('zen', 'flops', 'params')
    """
    name = by if isinstance(by, str) and by not in FAMILIES else USUAL[0]
    return tuple(dict.fromkeys((*scores_for(name), *SIZES)))


def usual_by(names: Sequence[str]) -> str:
    """What is ranked by if nothing is asked for and these proxies are computed.

    >>> usual_by(["flops", "snip", "synflow", "jacob_cov"]), usual_by(["flops", "snip"])
    ('vote', 'flops')
    """
    usual = (name for name in USUAL if set(scores_of(RANKINGS[name])) <= set(names))
    return next(usual, names[0])


def chosen_by(by: str | None, names: Sequence[str]) -> Ranking | str:
    """The ranking or the column to rank by; by default the first of the usual ones, if there is
    one, or the first proxy.

    Raises ForetellError for a name that is neither, and if a ranking lacks one of its scores.
    """
    by = usual_by(names) if by is None else by
    if isinstance(by, str) and by in names:
        return by
    if not isinstance(by, str) or not is_ranking(by):
        raise ForetellError(
            f"cannot rank by {shown(by)}; choose one of {', '.join(names)}, or a ranking: "
            f"{', '.join([*RANKINGS, *FAMILIES])}"
        )
    ranking = find_ranking(by, names)
    missing = [name for name in scores_of(ranking) if name not in names]
    if missing:
        raise ForetellError(
            f"cannot rank by {by!r} without {', '.join(missing)}; add the missing ones to the "
            f"proxies, or rank by one of {', '.join(names)}"
        )
    return ranking


def require_size(size: str | None, names: Sequence[str]) -> None:
    """Raise ForetellError unless `size` is None or a size among the proxies."""
    if size is None:
        return
    if as_choice("at_equal", size, SIZES, "size") not in names:
        raise ForetellError(f"at_equal is {size!r}, which is not scored; add it to the proxies")


def as_best(best: object, at_equal: str | None, models: object) -> int | None:
    """The number of models to find, checked. Raises ForetellError for what it cannot go with."""
    count: int | None = optional(as_integer)("best", best)
    if count is not None and at_equal is not None:
        raise ForetellError(
            f"best is {count} and at_equal is {at_equal!r}, but the strata need the scores of all "
            "models; leave one of the two out"
        )
    if count is not None and not isinstance(models, Mapping | Sequence):
        raise ForetellError(
            f"models is {shown(models)}, which can be read only once, but best scores some models "
            "twice; give a dict or a list"
        )
    return count


def forms_of(models: Models, reduced: Mapping[str, Model] | None, seeds: Sized) -> dict[str, Build]:
    """The reduced forms by name. Raises ForetellError unless every model has one."""
    if reduced is None:
        return {}
    if not isinstance(models, Mapping) or not isinstance(reduced, Mapping):
        raise ForetellError("reduced and models must be dicts with the same names")
    if differing := sorted(map(str, set(models) ^ set(reduced))):
        raise ForetellError(
            f"reduced and models have different names, such as {differing[0]!r}; give the reduced "
            "form of every model under its name"
        )
    return dict(named(reduced, seeds))


def named(models: Models, seeds: Sized) -> Iterable[tuple[str, Build]]:
    """The name or number of each model and the function that builds it.

    An iterator is read one model at a time. Raises ForetellError like `builder`, and if `models`
    is not a collection of models.
    """
    if isinstance(models, nn.Module | str | bytes) or not isinstance(models, Iterable):
        raise ForetellError(
            f"models is {shown(models)}; rank compares several models, so give a dict or a list of "
            "them"
        )
    pairs = models.items() if isinstance(models, Mapping) else numbered(models)
    key = repr if isinstance(models, Mapping) else str
    built = ((name, builder(model, seeds, f"models[{key(name)}]")) for name, model in pairs)
    return list(built) if isinstance(models, Mapping | Sequence) else built


def numbered(models: Iterable[Model]) -> Iterator[tuple[str, Model]]:
    """The models with their numbers as names.

    If the iterator raises an exception, it becomes the reason of a last model that is not built.
    """
    iterator = iter(models)
    for number in itertools.count():
        try:
            model = next(iterator)
        except StopIteration:
            return
        except any_error() as error:
            why = f"the iterator of models raised {complaint_of(error)}; those after it are missing"
            yield str(number), partial(refuse, why)
            return
        yield str(number), model


def refuse(why: str) -> nn.Module:
    """Raise ForetellError instead of building a model."""
    raise ForetellError(why)


def in_columns(table: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Scores first, then their spread, and at the end `seconds` and `why`."""
    spread = [name for name in table if str(name).endswith("_std")]
    return table[[*names, *spread, "seconds", "why"]]


def ranked_columns(
    proxies: Request | None,
    by: str | None,
    at_equal: str | None,
    *,
    several: bool,
    rounds: bool = False,
) -> list[str]:
    """The columns that `rank` returns for these arguments, without scoring anything.

    `several` tells whether there is more than one run for each model, `rounds` whether the best are
    found in rounds.

    >>> ranked_columns(["params"], None, None, several=True)
    ['params', 'params_std', 'rank', 'seconds', 'why']
    """
    by = plain_name(by) if isinstance(by, str) else by
    plan = make_plan(request_for(by) if proxies is None else proxies)
    names = [proxy.name for proxy in plan.proxies]
    chosen = chosen_by(by, names)
    require_size(at_equal, names)
    spread = [f"{name}_std" for name in names] if several else []
    row = {**dict.fromkeys([*names, *spread, "seconds"], 0.0), "why": ""}
    table = in_columns(pd.DataFrame([row, row]), names)
    made = in_order(table, chosen) if at_equal is None else at_equal_size(table, chosen, at_equal)
    columns = list(map(str, made))
    return [*columns[:-2], *[FIRST_ROUND] * rounds, *columns[-2:]]


def in_order(table: pd.DataFrame, by: Ranking | str) -> pd.DataFrame:
    """The table with `wins`, `rank` and `agreement`, and the columns of a ranking, sorted."""
    scores = [name for name in table if name in PROXIES]
    if set(VOTERS) <= set(scores):
        table.insert(len(scores), "wins", wins(table[list(VOTERS)]))
    columns: dict[str, pd.Series[Any]]
    if isinstance(by, str):
        columns = {"rank": by_points(oriented(table[[by]])[by])}
    else:
        columns = columns_of(by, table)
        scored = table[scores].notna().any(axis=1)
        table["why"] = [
            "; ".join(filter(None, pair))
            for pair in zip(table["why"], dropped(by, table).where(scored, ""), strict=True)
        ]
    judging = [name for name in scores if PROXIES[name].source.partition(",")[0] != "baseline"]
    if len(judging) > 1:
        columns["agreement"] = agreement(oriented(table[judging]))
    for name, column in columns.items():
        table.insert(len(table.columns) - 2, name, column)
    return table.sort_values("rank", kind="stable")


def at_equal_size(table: pd.DataFrame, by: Ranking | str, size: str) -> pd.DataFrame:
    """The table with `stratum`, ordered within each stratum of models of about equal size."""
    stratum = strata(table[size])
    parts = [in_order(part.copy(), by) for _, part in table.groupby(stratum.to_numpy())]
    whole = pd.concat(parts)
    whole.insert(whole.columns.get_loc("rank"), "stratum", stratum[whole.index])  # type: ignore[arg-type]
    return whole


def columns_of(ranking: Ranking, table: pd.DataFrame) -> dict[str, "pd.Series[Any]"]:
    """The points (except for the vote, whose points are `wins`) and the ranks, with all members
    and without each of them."""
    own = {} if ranking.name == "vote" else {ranking.name: points(ranking, table)}
    fewer = {
        f"rank_without_{member}": places(without(ranking, member), table)
        for member in (ranking.members if len(ranking.members) > 1 else ())
    }
    return {**own, "rank": places(ranking, table), **fewer}
