"""Laws of every registered searcher, alone and within Warmup, and what each of ours is for."""

import itertools
import random
import re
from collections.abc import Callable

import pytest

from foretell.errors import ForetellError
from foretell.searchers import (
    SEARCHERS,
    Question,
    Searcher,
    Warmup,
    make_searcher,
)
from foretell.spaces import (
    Space,
    enumerate_space,
    sample,
)
from tests.support.searches import NB201, TOY, Transcript, accuracies, answer, run, trained

SMALL: dict[str, dict[str, int]] = {
    "aging_evolution": {"population": 4, "tournament": 2},
    "local": {"initial": 3},
    "nsga2": {"population": 4},
    "predictor": {"block": 4, "hidden": 4, "layers": 1, "epochs": 2, "candidates": 40},
    "reinforce": {"hidden": 8},
}
"""Settings under which each gets to its point within a few answers."""


def plain(name: str, space: Space, seed: int) -> Searcher:
    return make_searcher(name, space, seed, **SMALL.get(name, {}))


def warmed(name: str, space: Space, seed: int) -> Searcher:
    return Warmup(plain(name, space, seed), space, pool=9, first=4, seed=seed + 1)


def in_its_own_way(name: str, space: Space, seed: int) -> Searcher:
    return make_searcher(name, space, seed, warmup=9, **SMALL.get(name, {}))


def moving(name: str, space: Space, seed: int) -> Searcher:
    settings = SMALL.get(name, {})
    if "moves" in SEARCHERS[name].settings:
        settings = {**settings, "moves": 2}
    return make_searcher(name, space, seed, **settings)


def twice_warmed(name: str, space: Space, seed: int) -> Searcher:
    return Warmup(warmed(name, space, seed), space, pool=6, first=6, seed=seed + 2)


def every_searcher(*spaces: Space) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("make", "name", "space"),
        [
            pytest.param(make, name, space, id=f"{name}-{make.__name__}-{space.name}")
            for name in SEARCHERS
            for make in (plain, warmed, twice_warmed, in_its_own_way, moving)
            for space in spaces
        ],
    )


Make = Callable[[str, Space, int], Searcher]


@every_searcher(TOY, NB201)
def test_asks_are_legal_and_few_enough(make: Make, name: str, space: Space) -> None:
    search = make(name, space, 0)
    for n in itertools.islice(itertools.cycle([1, 4, 2]), 30):
        asked = search.ask(n)
        assert len(asked) <= n
        for question in asked:
            assert space.is_valid(question.arch)
            assert question.kind in ("score", "train")
            search.tell(question, answer(question))
    assert search.ask(0) == []


@every_searcher(TOY, NB201)
def test_asking_changes_nothing(make: Make, name: str, space: Space) -> None:
    asked_much, asked_little = make(name, space, 0), make(name, space, 0)
    for _ in range(12):
        questions = asked_much.ask(5)
        assert asked_much.ask(5) == questions
        assert asked_much.ask(20)[: len(questions)] == questions
        assert asked_little.ask(1) == asked_much.ask(1) == questions[:1]
        for question in questions[:1]:
            asked_much.tell(question, answer(question))
            asked_little.tell(question, answer(question))


@every_searcher(TOY, NB201)
def test_equal_seeds_and_tells_give_equal_asks(make: Make, name: str, space: Space) -> None:
    state = random.getstate()
    assert run(make(name, space, 5), 25) == run(make(name, space, 5), 25)
    assert random.getstate() == state
    asks = [tuple(make(name, space, seed).ask(5)) for seed in range(10)]
    assert len(set(asks)) > 5


@every_searcher(TOY, NB201)
def test_resuming_at_any_moment_continues(make: Make, name: str, space: Space) -> None:
    search = make(name, space, 0)
    told: Transcript = []
    for question, value in run(make(name, space, 0), 24):
        resumed = make(name, space, 0)
        for known in told:
            resumed.tell(*known)
        assert resumed.ask(6) == search.ask(6)
        told.append((question, value))
        search.tell(question, value)


@every_searcher(TOY, NB201)
def test_what_nobody_asked_for_may_be_told(make: Make, name: str, space: Space) -> None:
    rng = random.Random(3)
    for before in (0, 5, 12):
        search = make(name, space, 0)
        run(search, before)
        known = set()
        for place in range(6):
            question = Question(sample(space, rng), "train" if place % 2 else "score")
            search.tell(question, answer(question))
            known.add((space.canonical(question.arch), question.kind))
        asked = {(space.canonical(question.arch), question.kind) for question in search.ask(40)}
        assert asked
        assert not asked & known


@every_searcher(TOY, NB201)
def test_nothing_is_asked_twice_not_even_as_an_isomorph(
    make: Make, name: str, space: Space
) -> None:
    told = [(space.canonical(q.arch), q.kind) for q, _ in run(make(name, space, 0), 60)]
    assert len(told) == len(set(told))
    at_once = [(space.canonical(q.arch), q.kind) for q in make(name, space, 0).ask(40)]
    assert len(at_once) == len(set(at_once))


@every_searcher(TOY)
def test_a_small_space_ends(make: Make, name: str, space: Space) -> None:
    search = make(name, space, 0)
    told = run(search, 10_000)
    assert len(told) < 10_000
    assert search.ask(5) == []
    assert {space.canonical(q.arch) for q, _ in told if q.kind == "train"} <= {
        space.canonical(arch) for arch in enumerate_space(space)
    }


def test_an_unknown_searcher_is_named() -> None:
    with pytest.raises(ForetellError, match="no searcher is called 'rnadom'; did you mean 'random"):
        make_searcher("rnadom", TOY, 0)


@pytest.mark.parametrize("name", SEARCHERS)
def test_every_searcher_says_what_it_is(name: str) -> None:
    assert SEARCHERS[name].summary.endswith(".")
    assert re.search(r"arXiv:|doi:", SEARCHERS[name].source)


@pytest.mark.parametrize("name", ["aging_evolution", "local", "reinforce"])
def test_learning_beats_drawing(name: str) -> None:
    """Mean of what is trained last, over three seeds, against random search."""

    def late(name: str) -> float:
        runs = (trained(make_searcher(name, NB201, s), 120, accuracies)[80:] for s in range(3))
        return sum(accuracies(q) for run in runs for q in run) / 120

    assert late(name) > late("random") + 0.5


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("random", {"moves": True}, "has no setting 'moves'"),
        ("local", {"initial": 0}, "at least 1"),
        ("predictor", {"block": 0}, "at least 1"),
        ("predictor", {"dropout": 1.0}, "dropout"),
        ("aging_evolution", {"tournament": 99}, "tournament is 99"),
        ("aging_evolution", {"mix": 2.0}, "probability"),
        ("reinforce", {"lr": 0.0}, "above 0"),
        ("random", {"warmup": -1}, "number of networks to score"),
        ("aging_evolution", {"population": "many"}, "can't be made"),
    ],
)
def test_wrong_settings_are_refused(name: str, settings: dict[str, object], words: str) -> None:
    with pytest.raises(ForetellError, match=words):
        make_searcher(name, NB201, 0, **settings)  # type: ignore[arg-type]
