"""Random search: the order and completeness of its stream."""

import math

from foretell.searchers import (
    Question,
    RandomSearch,
    distinct,
)
from foretell.spaces import (
    enumerate_space,
)
from tests.support.searches import NB201, TOY


def test_random_search_trains_its_stream_in_order() -> None:
    stream = [arch for arch, _ in distinct(TOY, seed=4)]
    search = RandomSearch(TOY, seed=4)
    assert [question.arch for question in search.ask(100)] == stream
    assert {question.kind for question in search.ask(100)} == {"train"}
    search.tell(Question(stream[2][::-1], "train"), math.nan)  # an isomorph, which diverged
    search.tell(Question(stream[3], "score"), 1.0)  # a score does not count as a training
    assert [question.arch for question in search.ask(100)] == stream[:2] + stream[3:]


def test_random_search_visits_all_of_nas_bench_201() -> None:
    search = RandomSearch(NB201, seed=0)
    asked = search.ask(20_000)
    assert len(asked) == 6466
    assert len({NB201.canonical(question.arch) for question in asked}) == 6466


def test_random_draws_favour_no_member_of_a_class() -> None:
    firsts = [RandomSearch(TOY, seed).ask(1)[0].arch for seed in range(300)]
    assert {arch for arch in firsts if arch != arch[::-1]} == {
        arch for arch in enumerate_space(TOY) if arch != arch[::-1]
    }
