"""Local search: where it starts, where it moves, and when it restarts."""

import math

import pytest

from foretell.searchers import Question, make_searcher
from foretell.spaces import enumerate_space, neighbours
from tests.support.searches import NB201, TOY


def around(arch: tuple[int, ...]) -> set[tuple[int, ...]]:
    """The canonical forms of the neighbours of an architecture, without its own."""
    classes = {NB201.canonical(near) for near in neighbours(NB201, arch)}
    return classes - {NB201.canonical(arch)}


@pytest.mark.parametrize("undefined", [math.nan, -math.inf])
def test_it_climbs_from_the_best_of_the_first_networks(undefined: float) -> None:
    """A training that diverged counts as the worst."""
    search = make_searcher("local", NB201, 0, initial=3)
    first = search.ask(10)
    assert len(first) == 3
    for question, value in zip(first, [undefined, 5.0, 4.0], strict=True):
        search.tell(question, value)
    asked = search.ask(1000)
    told = {NB201.canonical(question.arch) for question in first}
    assert {NB201.canonical(question.arch) for question in asked} == around(first[1].arch) - told


def test_it_does_not_move_to_a_neighbour_that_diverges() -> None:
    search = make_searcher("local", NB201, 0, initial=1)
    (first,) = search.ask(1)
    search.tell(first, 5.0)
    near = search.ask(1000)
    for question in near:
        search.tell(question, {near[0]: math.nan, near[1]: 6.0}.get(question, 1.0))
    known = {NB201.canonical(question.arch) for question in (first, *near)}
    next_ones = {NB201.canonical(question.arch) for question in search.ask(1000)}
    assert next_ones == around(near[1].arch) - known


def test_at_a_local_optimum_it_restarts_from_one_random_network() -> None:
    search = make_searcher("local", NB201, 0, initial=1)
    (first,) = search.ask(1)
    search.tell(first, 9.0)
    for question in search.ask(1000):
        search.tell(question, 9.0)  # equal is not better
    (fresh,) = search.ask(1000)
    assert NB201.canonical(fresh.arch) not in around(first.arch) | {NB201.canonical(first.arch)}
    search.tell(fresh, 0.0)
    assert {NB201.canonical(question.arch) for question in search.ask(1000)} <= around(fresh.arch)


def test_scores_do_not_count_as_trainings() -> None:
    search = make_searcher("local", TOY, 0, initial=1)
    before = search.ask(5)
    for arch in enumerate_space(TOY):
        search.tell(Question(arch, "score"), 1.0)
    assert search.ask(5) == before
