"""The warmup: what it scores, what it trains first, and what it passes to the searcher."""

import itertools
import math

import pytest

from foretell.errors import ForetellError
from foretell.searchers import (
    Question,
    RandomSearch,
    Warmup,
    distinct,
    make_searcher,
)
from foretell.testing.searchers import Conversation, converse
from tests.support.searches import CLASSES, NB201, TOY, accuracies


class Recorder:
    """A searcher that only records the answers it receives."""

    def __init__(self) -> None:
        self.told: Conversation = []

    def ask(self, n: int = 1) -> list[Question]:
        return [Question((0, 0, 0), "train")][:n]

    def tell(self, question: Question, value: float) -> None:
        self.told.append((question, value))


def test_warmup_trains_the_best_in_decreasing_order_then_follows_the_searcher() -> None:
    inner = Recorder()
    search = Warmup(inner, TOY, pool=6, first=5, seed=0)
    pool = [arch for arch, _ in itertools.islice(distinct(TOY, seed=0), 6)]
    assert search.ask(100) == [Question(arch, "score") for arch in pool]
    for arch, score in zip(pool, [0.5, math.nan, 0.9, -math.inf, 0.5, 0.7], strict=True):
        assert {question.kind for question in search.ask(100)} == {"score"}
        search.tell(Question(arch, "score"), score)
    best = [Question(pool[place], "train") for place in (2, 5, 0, 4, 3)]
    assert search.ask(100) == best
    assert search.ask(2) == best[:2]
    search.tell(best[1], 90.0)
    assert search.ask(100) == [best[0], *best[2:]]
    for question in (best[0], *best[2:]):
        search.tell(question, 91.0)
    assert search.ask() == [Question((0, 0, 0), "train")]
    assert [told for told in inner.told if told[0].kind == "train"] == [
        (best[1], 90.0),
        *((question, 91.0) for question in (best[0], *best[2:])),
    ]
    assert len(inner.told) == 11


def test_an_isomorph_answers_a_question_and_the_first_score_counts() -> None:
    search = Warmup(Recorder(), TOY, pool=12, first=12, seed=0)
    asked = search.ask(12)
    for place, question in enumerate(asked):
        search.tell(Question(question.arch[::-1], "score"), float(place))
    for question in asked:
        search.tell(question, 0.0)
    trainings = search.ask(12)
    assert trainings == [Question(question.arch, "train") for question in reversed(asked)]
    search.tell(Question(trainings[0].arch[::-1], "train"), 90.0)
    assert search.ask(12) == trainings[1:]


def test_a_pool_larger_than_the_space_is_the_whole_space() -> None:
    search = Warmup(RandomSearch(TOY, 1), TOY, pool=1000, first=1000, seed=0)
    told = converse(search, 1000)
    assert [question.kind for question, _ in told] == ["score"] * CLASSES + ["train"] * CLASSES


@pytest.mark.parametrize(("pool", "first"), [(0, 0), (4, 0), (4, 5), (-1, -1)])
def test_warmup_refuses_invalid_sizes(pool: int, first: int) -> None:
    with pytest.raises(ForetellError, match=f"first is {first} and pool is {pool}; expected"):
        Warmup(RandomSearch(TOY, 0), TOY, pool=pool, first=first, seed=0)


def test_warmup_takes_the_form_of_each_algorithm() -> None:
    for name, first in (("random", 100), ("aging_evolution", 64), ("local", 10)):
        search = make_searcher(name, NB201, 0, warmup=100)
        scores = search.ask(1000)
        assert len(scores) == 100
        for question in scores:
            search.tell(question, accuracies(question))
        order = [accuracies(question) for question in search.ask(1000)]
        assert len(order) == first
        assert order == sorted(order, reverse=True)
