"""A small space, and searches of it that are answered."""

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
"""How many words are not isomorphic."""


NB201 = NASBench201()


def accuracies(question: Question) -> float:
    """The more 3s the better: a hill that every step of a climb can feel."""
    return float(sum(option == 3 for option in question.arch))


def trained(search: Searcher, count: int, score: Callable[[Question], float]) -> list[Question]:
    """The first trainings of a search that is told of `accuracies`."""
    found: list[Question] = []
    while len(found) < count:
        (question,) = search.ask(1)
        if question.kind == "score":
            search.tell(question, score(question))
        else:
            search.tell(question, accuracies(question))
            found.append(question)
    return found
