"""Aging evolution."""

from foretell.searchers import (
    make_searcher,
)
from foretell.spaces import (
    neighbours,
)
from tests.support.searches import NB201


def test_evolution_mutates_the_best_of_a_tournament_and_removes_the_oldest() -> None:
    search = make_searcher("aging_evolution", NB201, 0, population=3, tournament=3)
    first = search.ask(3)
    for question, value in zip(first, [1.0, 9.0, 2.0], strict=True):
        search.tell(question, value)
    (child,) = search.ask(1)
    assert child.arch in set(neighbours(NB201, first[1].arch))
    search.tell(child, 5.0)  # removes 1
    search.tell(search.ask(1)[0], 0.0)  # removes 9, which leaves the child as the best
    (grandchild,) = search.ask(1)
    assert grandchild.arch in set(neighbours(NB201, child.arch))


def test_a_move_is_the_best_scored_neighbour() -> None:
    search = make_searcher(
        "aging_evolution", NB201, 0, population=1, tournament=1, moves=True, mix=0.0
    )
    (first,) = search.ask(1)
    search.tell(first, 0.5)
    scores = search.ask(1000)
    assert {q.kind for q in scores} == {"score"}
    around = {NB201.canonical(a) for a in neighbours(NB201, first.arch)}
    around.discard(NB201.canonical(first.arch))
    assert {NB201.canonical(q.arch) for q in scores} == around
    for number, question in enumerate(scores):
        search.tell(question, float(number if number != 7 else 99))
    (move,) = search.ask(1)
    assert NB201.canonical(move.arch) == NB201.canonical(scores[7].arch)


def test_mix_is_the_probability_of_a_random_move() -> None:
    drawn = 0
    for seed in range(200):
        search = make_searcher(
            "aging_evolution", NB201, seed, population=1, tournament=1, moves=True, mix=0.25
        )
        (first,) = search.ask(1)
        search.tell(first, 1.0)
        drawn += search.ask(1)[0].kind == "train"
    assert 30 <= drawn <= 70  # 50 expected, standard deviation 6
