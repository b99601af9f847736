"""Run one arm of a search, with or without scores: answer the questions of its searcher."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace

from foretell.errors import MOST
from foretell.rankings import is_ranking
from foretell.runs.evaluate import Evaluator
from foretell.runs.rows import PickRow, add
from foretell.searchers import Question, Searcher
from foretell.searching.outcome import validation
from foretell.searching.stages import promoted
from foretell.searching.told import Told
from foretell.spaces import Arch

__all__ = ["drive"]

SCORED_AT_ONCE = 1_000
"""The maximum number of scores requested at a time; a ranking requires those of the whole pool."""


def drive(
    searcher: Searcher,
    evaluators: list[Evaluator],
    trainings: int,
    at_once: int,
    arm: str,
    code: Mapping[str, str],
    told: Sequence[Told] = (),
) -> list[Arch]:
    """Answer the searcher's questions until `trainings` networks are trained.

    Returns the networks that are trained in full. The first evaluator answers the searcher, and the
    others train the best of its networks further. For each network trained in full, a row records
    its position in the search and the number of scores before it; `code` has the digests of all
    user code that this depends on. The results in `told`, which came from elsewhere, are passed to
    the searcher after the trainings that had finished before they were added.

    Answers are passed on in the order of the questions, and the number of questions at a time does
    not depend on the number of workers, so that the workers do not change the run.
    """
    trained: list[Arch] = []
    scored: set[Arch] = set()
    stage, evaluator, waiting = evaluators[0], evaluators[-1], deque(told)
    while left := trainings - len(trained):
        if not (questions := asked(searcher, stage, waiting, at_once, left)):
            break
        kind = questions[0].kind
        answering = evaluator if kind == "score" else stage
        for question, value in zip(questions, answering.answer(questions), strict=True):
            searcher.tell(question, value)
        archs = [question.arch for question in questions]
        if kind == "score":
            scored.update(archs)
            continue
        if len(evaluators) == 1:
            record(evaluator, PickRow(arm, len(trained), scored=len(scored), code=code), archs)
        trained += archs
    if len(evaluators) == 1:
        return trained
    best = promoted(trained, evaluators, validation)
    last = PickRow(arm, 0, scored=len(scored), before=best.seconds, code=code)
    record(evaluator, last, best.archs)
    return best.archs


def asked(
    searcher: Searcher, stage: Evaluator, waiting: deque[Told], at_once: int, left: int
) -> list[Question]:
    """The next questions, all of one kind, at most `left` of them trainings.

    While results from elsewhere are `waiting`, only trainings that had finished before they were
    added are returned; when the searcher requests none of those, it receives the results, and is
    asked again.
    """
    while first := searcher.ask(1):
        kind = first[0].kind
        if kind == "score":
            most = MOST if is_ranking(stage.work.by) else SCORED_AT_ONCE
            return [one for one in searcher.ask(most) if one.kind == kind]
        count = at_once if waiting else min(at_once, left)
        questions = [one for one in searcher.ask(count) if one.kind == kind]
        if not waiting:
            return questions
        before = waiting[0].before
        if earlier := [one for one in questions if stage.training_key(one.arch) in before]:
            return earlier[:left]
        waiting.popleft().pass_on(searcher)
    return []


def record(evaluator: Evaluator, before: PickRow, archs: list[Arch]) -> None:
    """Add a row for each network trained in full, numbered from `before.number` + 1."""
    for number, arch in enumerate(archs, before.number + 1):
        add(evaluator.store, replace(before, number=number, arch=evaluator.network(arch).arch))
