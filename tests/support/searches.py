"""A small space, and searches of it whose questions are answered."""

from collections.abc import Callable

from foretell.searchers import (
    Question,
    Searcher,
)
from foretell.spaces import (
    NASBench201,
)
from foretell.testing.searchers import Letters

TOY = Letters()
CLASSES = 17
"""The number of classes of isomorphic words."""


NB201 = NASBench201()


def accuracies(question: Question) -> float:
    """An accuracy that grows with the number of 3s, so that every step of a climb matters."""
    return float(sum(option == 3 for option in question.arch))


def trained(search: Searcher, count: int, score: Callable[[Question], float]) -> list[Question]:
    """The first trainings of a search that is told the `accuracies`."""
    found: list[Question] = []
    while len(found) < count:
        (question,) = search.ask(1)
        if question.kind == "score":
            search.tell(question, score(question))
        else:
            search.tell(question, accuracies(question))
            found.append(question)
    return found
