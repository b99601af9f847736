"""What a search found, from the rows of its run."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from torch import nn

from foretell.errors import ForetellError
from foretell.runs.costs import CostBook
from foretell.runs.evaluate import Evaluator
from foretell.runs.rows import ScoreRow, rows_of
from foretell.searchers import Question
from foretell.searching.aims import Aims
from foretell.searching.chosen import load_chosen, save_chosen
from foretell.searching.pareto import undominated
from foretell.spaces import Arch, Space

__all__ = ["Outcome"]

SCORED, UNSCORED = "scored", "unscored"
SHORT = 40


@dataclass(frozen=True)
class Outcome:
    """What a search found."""

    table: pd.DataFrame
    """A row a training: which arm it belongs to, the architecture, its scores, accuracies in %
    and seconds. `test_accuracy` is there for the chosen network of each arm only."""
    chosen: nn.Module
    """The network of the scored arm with the best validation accuracy, trained."""
    front: pd.DataFrame
    """The rows of the scored arm that no other of it is better than in validation accuracy and
    every cost that the search weighed; the best one alone where it weighed none."""
    scoring_seconds: float
    """What scoring the pool took, added up over the workers."""
    short: dict[str, str]
    """A name of at most `SHORT` characters for each architecture of the table. The space's `parse`
    reads it, unless it is cut off and ends in …."""
    folder: Path
    notice: str
    """What was damaged in the run folder and is computed again; empty if nothing was."""


def conclude(
    arms: dict[str, list[Arch]], evaluator: Evaluator, book: CostBook, aims: Aims
) -> Outcome:
    """The table of both arms, and the chosen network saved in the run folder."""
    evaluator.compute([Question(arch, "score") for archs in arms.values() for arch in archs])
    rows: list[dict[str, Any]] = []
    best: dict[str, Arch] = {}
    for arm, archs in arms.items():
        best[arm] = max(archs, key=lambda arch: validation(evaluator, arch))
        if not evaluator.training(best[arm]).history:
            why = evaluator.training(best[arm]).why
            raise ForetellError(f"no network of the {arm} arm could be trained: {why}")
        for arch in archs:
            costs = {name: book.cost(name, arch) for name in (*aims.against, *aims.limits)}
            rows.append(outcome_row(evaluator, arm, arch, arch == best[arm]) | costs)
    save_chosen(best[SCORED], evaluator)
    store = evaluator.store
    table = pd.DataFrame(rows).set_index(["arm", "arch"])
    return Outcome(
        table=table,
        front=front(table.loc[[SCORED]], aims.against),
        chosen=load_chosen(store.folder, evaluator.work.space),
        scoring_seconds=scoring_seconds(evaluator),
        short={
            evaluator.work.space.format(arch): short_name(evaluator.work.space, arch)
            for archs in arms.values()
            for arch in archs
        },
        folder=store.folder,
        notice=store.notice,
    )


def front(table: pd.DataFrame, against: Sequence[str]) -> pd.DataFrame:
    """The rows that no other is better than, the most accurate first."""
    accuracy = -table["val_accuracy"].astype(float)
    points = pd.concat([accuracy, *(table[name] for name in against)], axis=1)
    best = table[undominated(points.to_numpy(dtype=float))]
    return best.sort_values("val_accuracy", ascending=False)


def short_name(space: Space, arch: Arch) -> str:
    """Its text, or where that is long its options' numbers if they are digits, or its beginning."""
    text, digits = space.format(arch), "".join(map(str, arch))
    if len(text) <= SHORT:
        return text
    return digits if len(digits) == len(arch) <= SHORT else f"{text[: SHORT - 1]}…"


def validation(evaluator: Evaluator, arch: Arch) -> float:
    """Validation accuracy in %; minus infinity if training diverged."""
    accuracy = evaluator.training(arch).val_accuracy
    return -math.inf if math.isnan(accuracy) else accuracy


def outcome_row(evaluator: Evaluator, arm: str, arch: Arch, chosen: bool) -> dict[str, Any]:
    """One line of the table."""
    training = evaluator.training(arch)
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
    """The time all scores of the run took, passes shared by several proxies counted once."""
    slowest: dict[str, float] = {}
    for row in rows_of(ScoreRow, evaluator.store.rows()):
        network = row.network.arch
        slowest[network] = max(slowest.get(network, 0.0), row.score.seconds)
    return sum(slowest.values())
