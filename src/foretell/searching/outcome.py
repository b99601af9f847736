"""The result of a search, from the rows of its run."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from torch import nn

from foretell.errors import ForetellError
from foretell.rankings import is_ranking, points_by
from foretell.runs.code import current
from foretell.runs.costs import CostBook
from foretell.runs.evaluate import Evaluator
from foretell.runs.rows import ScoreRow, rows_of
from foretell.runs.tasks import loaded
from foretell.runs.work import Work
from foretell.searchers import Question
from foretell.searching.chosen import load_chosen, save_chosen
from foretell.searching.compared import SCORED, SIZE, TOLD
from foretell.searching.measure import Measure
from foretell.searching.method import Method
from foretell.searching.pareto import undominated
from foretell.searching.told import Told
from foretell.spaces import Arch, Space
from foretell.training.own import OwnTraining
from foretell.training.train import Trained

__all__ = ["MEASURED", "OWN", "Outcome"]

MEASURED = ("val_accuracy", "test_accuracy", "seconds", "why")
OWN = ("value", "seconds", "why")
"""The columns of the table besides scores and costs; the second tuple is for your own training."""
SHORT = 40


@dataclass(frozen=True, repr=False)
class Outcome:
    """The result of a search."""

    table: pd.DataFrame
    """One row per training, indexed by arm and architecture: scores, accuracies in %, seconds and
    costs. Only the best network of each arm has a `test_accuracy`. For a training of your own, the
    column `value`, as it was returned, replaces the accuracies. The arm `told` has the results that
    `foretell.tell` added."""
    chosen: nn.Module
    """The trained network with the best validation accuracy, of all arms; of equals the smallest.
    """
    front: pd.DataFrame
    """The rows of the arm `scored` on the Pareto front of validation accuracy and the costs that
    the search minimised; without such costs, the row of the most accurate network."""
    measure: Measure
    """The kind of value that the trainings return."""
    scoring_seconds: float
    """The seconds that all scores took, added up over the workers."""
    short: dict[str, str]
    """A name of at most 40 characters for each architecture of the table. The space can parse it,
    unless it is truncated and ends in …."""
    folder: Path
    by: str
    """The proxy that the search chose by."""
    chance: float | None
    """The accuracy of guessing in %; None if the training was your own, with any value."""
    notice: str
    """A note on what was damaged in the run folder and computed again, and on how many rows of
    another version of your own code were left out; empty if there is nothing to note."""

    def __repr__(self) -> str:
        """The folder and the table; the network itself would take pages."""
        return f"Outcome of {self.folder}\n{self.table}"

    def _repr_html_(self) -> str:
        """The table, for notebooks."""
        return self.table.to_html()


def conclude(
    arms: dict[str, list[Arch]],
    evaluator: Evaluator,
    book: CostBook,
    method: Method,
    told: Sequence[Told] = (),
) -> Outcome:
    """Collect the results of all arms, and save the chosen network in the run folder."""
    elsewhere = {arch: value for one in told for arch, value in one.results.items()}
    every = [arch for archs in (*arms.values(), elsewhere) for arch in archs]
    evaluator.compute([Question(arch, "score") for arch in every])

    def row_of(arm: str, arch: Arch, training: Trained, chosen: bool) -> dict[str, Any]:
        costs = {name: book.cost(name, arch) for name in (*method.against, *method.limits)}
        return outcome_row(evaluator, arm, arch, training, chosen) | costs

    rows: list[dict[str, Any]] = []
    best: dict[str, Arch] = {}
    for arm, archs in arms.items():
        best[arm] = max(archs, key=lambda arch: quality(evaluator, arch))
        if not evaluator.training(best[arm]).history:
            why = evaluator.training(best[arm]).why
            raise ForetellError(f"no network of the {arm} arm could be trained: {why}")
        rows += [row_of(arm, arch, evaluator.training(arch), arch == best[arm]) for arch in archs]
    for arch, value in elsewhere.items():
        rows.append(row_of(TOLD, arch, Trained(value, math.nan, math.nan, (), None), False))
    save_chosen(max(best.values(), key=lambda arch: quality(evaluator, arch)), evaluator)
    store, measure = evaluator.store, Measure.of(evaluator.work.training.key())
    table = ranked_by(evaluator.work.by, pd.DataFrame(rows).set_index(["arm", "arch"]))
    return Outcome(
        table=measure.shown(table),
        front=measure.shown(front(table.loc[[SCORED]], method.against)),
        measure=measure,
        chosen=load_chosen(store.folder, evaluator.work.space),
        scoring_seconds=scoring_seconds(evaluator),
        short={
            evaluator.work.space.format(arch): short_name(evaluator.work.space, arch)
            for arch in every
        },
        folder=store.folder,
        by=evaluator.work.by,
        chance=chance(evaluator.work),
        notice=store.notice,
    )


def ranked_by(by: str, table: pd.DataFrame) -> pd.DataFrame:
    """The table with a column of the networks' points if `by` is a ranking; higher is better."""
    if not is_ranking(by):
        return table
    once = table.reset_index("arm", drop=True)
    once = once[~once.index.duplicated()]
    table.insert(
        0, by, points_by(by, once).reindex(table.index.get_level_values("arch")).to_numpy()
    )
    return table


def front(table: pd.DataFrame, against: Sequence[str]) -> pd.DataFrame:
    """The rows on the Pareto front of accuracy and costs, the most accurate first."""
    accuracy = -table["val_accuracy"].astype(float)
    points = pd.concat([accuracy, *(table[name] for name in against)], axis=1)
    best = table[undominated(points.to_numpy(dtype=float))]
    return best.sort_values("val_accuracy", ascending=False)


def short_name(space: Space, arch: Arch) -> str:
    """The text of an architecture; a long one is shortened to its options, digits or beginning."""
    text, digits = space.format(arch), "".join(map(str, arch))
    if len(text) <= SHORT:
        return text
    options = ",".join(part.rpartition("=")[2] for part in text.split(","))
    for short in (options, digits):
        if len(short) <= SHORT and reads_as(space, short, arch):
            return short
    return f"{text[: SHORT - 1]}…"


def reads_as(space: Space, text: str, arch: Arch) -> bool:
    """Whether the space parses the text to this architecture."""
    try:
        return space.parse(text) == arch
    except ForetellError:
        return False


def validation(evaluator: Evaluator, arch: Arch) -> float:
    """The validation accuracy in %; minus infinity if the training diverged."""
    accuracy = evaluator.training(arch).val_accuracy
    return -math.inf if math.isnan(accuracy) else accuracy


def quality(evaluator: Evaluator, arch: Arch) -> tuple[float, float]:
    """A sort key: the validation accuracy, then, if params is scored, how small the network is."""
    size = evaluator.scores(arch)[SIZE].value if SIZE in evaluator.work.plan.names else 0.0
    return validation(evaluator, arch), -size


def chance(work: Work) -> float | None:
    """The accuracy of guessing one of the classes in %; None for a training of the user's own."""
    return None if isinstance(work.training, OwnTraining) else 100 / loaded(work.data).classes


def outcome_row(
    evaluator: Evaluator, arm: str, arch: Arch, training: Trained, chosen: bool
) -> dict[str, Any]:
    """One row of the table; only a chosen network has a test accuracy."""
    return {
        "arm": arm,
        "arch": evaluator.work.space.format(arch),
        **{name: score.value for name, score in evaluator.scores(arch).items()},
        "val_accuracy": training.val_accuracy,
        "test_accuracy": training.test_accuracy if chosen else None,
        "seconds": training.seconds,
        "why": training.why or "",
    }


def scoring_seconds(evaluator: Evaluator) -> float:
    """The seconds that all scores of the run took; passes shared by several proxies count once."""
    slowest: dict[str, float] = {}
    for row in rows_of(ScoreRow, current(evaluator.store)[0]):
        network = row.network.arch
        slowest[network] = max(slowest.get(network, 0.0), row.score.seconds)
    return sum(slowest.values())
