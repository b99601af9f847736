"""The first stages of a search: cheap trainings that decide which networks are trained in full.

Successive halving (Jamieson & Talwalkar 2016, arXiv:1502.07943) by thirds, or the reduced training
of EcoNAS (Zhou et al. 2020, arXiv:2001.01233) as the first of two stages.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from foretell.checks import as_choice
from foretell.errors import ForetellError
from foretell.runs.evaluate import Evaluator
from foretell.runs.work import Work
from foretell.searchers import Question
from foretell.spaces import Arch
from foretell.training.own import OwnTraining
from foretell.training.reduced import REDUCED

__all__ = ["STAGES", "Promotion", "promoted", "staged"]

STAGES = ("halving", *REDUCED)
"""The names of the first stages."""


THIRD = 3


def staged(name: str | None, work: Work) -> list[Work]:
    """The work of each stage, ending with the full training, which is the only one without a name.

    Raises ForetellError for an unknown name, or if the training cannot be shortened or reduced.
    """
    if name is None:
        return [work]
    if isinstance(work.training, OwnTraining):
        raise ForetellError("first_stage shortens foretell's own training; leave it out")
    if as_choice("first_stage", name, STAGES, "first stage") == "halving":
        epochs = work.training.epochs
        if epochs < THIRD:
            raise ForetellError(
                f"epochs is {epochs}; the first stage halving needs at least {THIRD} epochs"
            )
        shorter = sorted({max(1, epochs // THIRD**2), epochs // THIRD})
        shares = [replace(work.training, epochs=each, stop_after=None) for each in shorter]
        return [*(replace(work, training=training) for training in shares), work]
    return [work.reduced(name), work]


@dataclass(frozen=True)
class Promotion:
    """The networks of an arm that reached the last stage."""

    archs: list[Arch]
    """The networks trained in full, in the order of their accuracy in the stage before."""
    seconds: float
    """The seconds that all stages except the last took."""


def promoted(
    archs: list[Arch],
    evaluators: Sequence[Evaluator],
    validation: Callable[[Evaluator, Arch], float],
) -> Promotion:
    """Train the best third of each stage in the next one; ties keep the order of `archs`.

    `archs` are already trained in the first stage.
    """
    seconds = 0.0
    for stage, following in itertools.pairwise(evaluators):
        seconds += sum(stage.training(arch).seconds for arch in archs)
        best = sorted(archs, key=lambda arch: -validation(stage, arch))
        archs = best[: -(-len(archs) // THIRD)]
        following.compute([Question(arch, "train") for arch in archs])
    return Promotion(archs, seconds)
