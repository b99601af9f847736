"""One half of a search, with the help of scores or without: answer its searcher's questions."""

from foretell.runs.evaluate import Evaluator
from foretell.runs.rows import PickRow, add
from foretell.searchers import Searcher
from foretell.searching.outcome import validation
from foretell.searching.stages import promoted
from foretell.spaces import Arch

__all__ = ["drive"]

SCORED_AT_ONCE = 1_000
"""Scores that are asked for together; what a searcher wants scored does not wait for others."""


def drive(
    searcher: Searcher, evaluators: list[Evaluator], trainings: int, at_once: int, arm: str
) -> list[Arch]:
    """Answer the searcher's questions until so many networks are trained; which they were in full.

    The searcher is told the trainings of the first of the evaluators; the others train the best of
    those. A row for each network that was trained in full says when, and after how many scores.

    Answers are told in the order asked, and how many are asked for at a time does not depend on
    the number of workers, so that this does not change the run.
    """
    trained: list[Arch] = []
    scored: set[Arch] = set()
    stage, evaluator = evaluators[0], evaluators[-1]
    while len(trained) < trainings and (first := searcher.ask(1)):
        kind = first[0].kind
        count = SCORED_AT_ONCE if kind == "score" else min(at_once, trainings - len(trained))
        questions = [question for question in searcher.ask(count) if question.kind == kind]
        answering = evaluator if kind == "score" else stage
        for question, value in zip(questions, answering.answer(questions), strict=True):
            searcher.tell(question, value)
        archs = [question.arch for question in questions]
        if kind == "score":
            scored.update(archs)
            continue
        if len(evaluators) == 1:
            record(evaluator, arm, archs, len(trained), len(scored))
        trained += archs
    if len(evaluators) == 1:
        return trained
    best = promoted(trained, evaluators, validation)
    record(evaluator, arm, best.archs, 0, len(scored), best.seconds)
    return best.archs


def record(
    evaluator: Evaluator,
    arm: str,
    archs: list[Arch],
    after: int,
    scored: int,
    before: float = 0.0,
) -> None:
    """Rows that say that these networks were trained in full: after how many others and scores."""
    for number, arch in enumerate(archs, after + 1):
        add(evaluator.store, PickRow(arm, number, evaluator.network(arch).arch, scored, before))
