"""Laws of every registered searcher, alone and within Warmup, and what each of ours is for."""

import itertools
import math
import random
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from foretell.errors import ForetellError
from foretell.searchers import (
    SEARCHERS,
    Question,
    RandomSearch,
    Searcher,
    Warmup,
    distinct,
    make_searcher,
    searcher,
)
from foretell.searchers.controller import Controller
from foretell.spaces import (
    Arch,
    Json,
    NASBench201,
    Space,
    Subset,
    enumerate_space,
    graph_of,
    make_space,
    neighbours,
    sample,
)

Transcript = list[tuple[Question, float]]


@dataclass(frozen=True)
class Toy:
    """Three positions of three options; reversed is isomorphic, 222 is not allowed: 17 classes."""

    name: str = "toy"
    choices: tuple[tuple[str, ...], ...] = (("a", "b", "c"),) * 3

    def is_valid(self, arch: Arch) -> bool:
        return arch != (2, 2, 2)

    def canonical(self, arch: Arch) -> Arch:
        return min(arch, arch[::-1])

    def build(self, arch: Arch, seed: int) -> nn.Module:
        raise NotImplementedError

    def parse(self, text: str) -> Arch:
        raise NotImplementedError

    def format(self, arch: Arch) -> str:
        raise NotImplementedError

    def settings(self) -> dict[str, Json]:
        raise NotImplementedError


TOY: Space = Toy()
CLASSES = 17
NB201 = NASBench201()


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


def answer(question: Question) -> float:
    """Some value, the same whenever asked; a few are undefined."""
    value = random.Random(f"{question}").random()
    return math.nan if value < 0.1 else value


def run(search: Searcher, tells: int, at_once: int = 3) -> Transcript:
    """Ask and tell, in an order that is not the one asked in, until there is nothing to ask."""
    transcript: Transcript = []
    while len(transcript) < tells and (asked := search.ask(at_once)):
        for question in asked[1:] + asked[:1]:
            transcript.append((question, answer(question)))
            search.tell(*transcript[-1])
    return transcript


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


def test_the_stream_holds_every_class_once_then_ends() -> None:
    drawn = list(distinct(TOY, seed=0))
    assert len(drawn) == CLASSES
    assert all(TOY.canonical(arch) == canonical for arch, canonical in drawn)
    assert {canonical for _, canonical in drawn} == {
        TOY.canonical(arch) for arch in enumerate_space(TOY)
    }


@pytest.mark.parametrize(
    ("patience", "listable", "found"), [(0, 100, CLASSES), (1, 100, CLASSES), (1, 10, None)]
)
def test_what_the_draws_miss_is_listed_unless_the_space_is_too_large(
    monkeypatch: pytest.MonkeyPatch, patience: int, listable: int, found: int | None
) -> None:
    monkeypatch.setattr(searcher, "PATIENCE", patience)
    monkeypatch.setattr(searcher, "LISTABLE", listable)
    streams = [[canonical for _, canonical in distinct(TOY, seed)] for seed in range(5)]
    for stream in streams:
        assert len(set(stream)) == len(stream)
        assert len(stream) == found if found else len(stream) < CLASSES
    assert len({tuple(stream) for stream in streams}) == 5  # the list is shuffled, too


def test_random_search_trains_its_stream_in_order() -> None:
    stream = [arch for arch, _ in distinct(TOY, seed=4)]
    search = RandomSearch(TOY, seed=4)
    assert [question.arch for question in search.ask(100)] == stream
    assert {question.kind for question in search.ask(100)} == {"train"}
    search.tell(Question(stream[2][::-1], "train"), math.nan)  # an isomorph, and it diverged
    search.tell(Question(stream[3], "score"), 1.0)  # a score is no training
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


class Recorder:
    """A searcher that only remembers what it is told."""

    def __init__(self) -> None:
        self.told: Transcript = []

    def ask(self, n: int = 1) -> list[Question]:
        return [Question((0, 0, 0), "train")][:n]

    def tell(self, question: Question, value: float) -> None:
        self.told.append((question, value))


def test_warmup_trains_the_best_in_decreasing_order_then_hands_over() -> None:
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


def test_warmup_takes_an_isomorph_for_an_answer_and_the_first_score_counts() -> None:
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


def test_warmup_with_a_pool_beyond_the_space_takes_the_space() -> None:
    search = Warmup(RandomSearch(TOY, 1), TOY, pool=1000, first=1000, seed=0)
    told = run(search, 1000)
    assert [question.kind for question, _ in told] == ["score"] * CLASSES + ["train"] * CLASSES


@pytest.mark.parametrize(("pool", "first"), [(0, 0), (4, 0), (4, 5), (-1, -1)])
def test_warmup_refuses_sizes_that_make_no_sense(pool: int, first: int) -> None:
    with pytest.raises(ForetellError, match=f"first {first} of a pool of {pool}; give"):
        Warmup(RandomSearch(TOY, 0), TOY, pool=pool, first=first, seed=0)


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


@pytest.mark.parametrize("name", ["aging_evolution", "local", "reinforce"])
def test_learning_beats_drawing(name: str) -> None:
    """Mean of what is trained last, over three seeds, against random search."""

    def late(name: str) -> float:
        runs = (trained(make_searcher(name, NB201, s), 120, accuracies)[80:] for s in range(3))
        return sum(accuracies(q) for run in runs for q in run) / 120

    assert late(name) > late("random") + 0.5


def test_evolution_mutates_the_best_of_a_tournament_and_the_oldest_dies() -> None:
    search = make_searcher("aging_evolution", NB201, 0, population=3, tournament=3)
    first = search.ask(3)
    for question, value in zip(first, [1.0, 9.0, 2.0], strict=True):
        search.tell(question, value)
    (child,) = search.ask(1)
    assert child.arch in set(neighbours(NB201, first[1].arch))
    search.tell(child, 5.0)  # 1 dies
    search.tell(search.ask(1)[0], 0.0)  # 9 dies: the child is the best alive
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


def test_mix_is_how_often_a_move_is_drawn() -> None:
    drawn = 0
    for seed in range(200):
        search = make_searcher(
            "aging_evolution", NB201, seed, population=1, tournament=1, moves=True, mix=0.25
        )
        (first,) = search.ask(1)
        search.tell(first, 1.0)
        drawn += search.ask(1)[0].kind == "train"
    assert 30 <= drawn <= 70  # 50 expected, standard deviation 6


def test_reinforce_scores_between_trainings() -> None:
    search = make_searcher("reinforce", NB201, 0, warmup=5, moves=3)
    kinds = []
    for _ in range(14):
        (question,) = search.ask(1)
        kinds.append(question.kind)
        search.tell(question, answer(question))
    assert kinds == ["score"] * 5 + ["train"] + (["score"] * 3 + ["train"]) * 2


def test_reinforce_draws_what_is_listed_alone() -> None:
    archs = [(0, 1, 4, 4), (0, 1, 4, 3), (2, 2, 2, 2), (4, 0, 0, 0)]
    controller = Controller((5, 5, 5, 5), hidden=4, lr=0.05, seed=0, listed=archs)
    drawn = controller.draw(np.random.default_rng(0), 400)
    assert set(drawn) == set(archs)
    assert 100 < drawn.count((2, 2, 2, 2)) < 170  # one of three beginnings
    for _ in range(60):
        controller.learn([(0, 1, 4, 3)], [1.0], entropy=0.0)
    assert controller.draw(np.random.default_rng(0), 100).count((0, 1, 4, 3)) > 90


def test_reinforce_learns_in_a_part_of_a_space() -> None:
    few = Subset(NB201, list(enumerate_space(NB201))[::61])

    def late(name: str) -> float:
        runs = (trained(make_searcher(name, few, seed), 70, accuracies)[30:] for seed in range(3))
        return sum(accuracies(q) for run in runs for q in run) / 120

    assert late("reinforce") > late("random") + 0.4


def test_known_scores_count_as_rewards_of_the_warmup() -> None:
    """Of twenty rewards in a space of 17 classes some are of classes that are known."""
    search = make_searcher("reinforce", TOY, 0, warmup=20, hidden=8)
    scored = []
    while (question := search.ask(1)[0]).kind == "score":
        scored.append(TOY.canonical(question.arch))
        search.tell(question, answer(question))
    assert 5 < len(scored) == len(set(scored)) < 15


def test_the_controllers_gradients_are_torchs() -> None:
    options, hidden, entropy = (3, 2, 5, 4), 7, 0.1
    taught = [((2, 1, 4, 0), 0.7), ((0, 0, 3, 3), -0.3), ((2, 1, 0, 2), 0.2)]
    controller = Controller(options, hidden, lr=0.01, seed=3)
    controller.weights["out"][:] = np.random.default_rng(0).normal(size=(4, 7, 5))
    controller.slopes([arch for arch, _ in taught], [value for _, value in taught], entropy)
    weights = {
        name: torch.tensor(value.astype(float), requires_grad=True)
        for name, value in controller.weights.items()
    }
    total = torch.zeros(())
    for arch, advantage in taught:
        state = memory = torch.zeros(hidden, dtype=torch.float64)
        word, first = sum(options), 0
        for position, (option, count) in enumerate(zip(arch, options, strict=True)):
            gates = weights["read"][word] + state @ weights["recall"]
            enter, keep, content, leave = gates.reshape(4, hidden)
            memory = keep.sigmoid() * memory + enter.sigmoid() * content.tanh()
            state = leave.sigmoid() * memory.tanh()
            logs = (state @ weights["out"][position, :, :count]).log_softmax(0)
            total = total + advantage * logs[option] - entropy * (logs.exp() * logs).sum()
            word, first = first + option, first + count
    (total / len(taught)).backward()
    for name, weight in weights.items():
        assert weight.grad is not None
        np.testing.assert_allclose(controller.gradients[name], weight.grad, atol=1e-6)


def test_the_predictor_learns_what_pays() -> None:
    """After two blocks its best predicted are better than what it drew."""
    settings = {"block": 16, "hidden": 32, "layers": 2, "lr": 3e-3, "epochs": 60}
    search = make_searcher("predictor", NB201, 0, candidates=500, **settings)
    found = [accuracies(question) for question in trained(search, 64, accuracies)]
    assert sum(found[48:56]) / 8 > sum(found[:16]) / 16 + 1


def test_the_predictor_is_taught_by_scores_first() -> None:
    settings = {"block": 8, "hidden": 32, "layers": 2, "lr": 3e-3, "epochs": 60}
    search = make_searcher("predictor", NB201, 0, candidates=500, warmup=100, **settings)
    for question in search.ask(1000):
        assert question.kind == "score"
        search.tell(question, accuracies(question))
    first = search.ask(1000)
    assert {question.kind for question in first} == {"train"}
    assert len(first) == 8
    assert sum(map(accuracies, first)) / 8 > 2.5  # 1.2 at random


@pytest.mark.parametrize("name", ["nb101", "nb201", "macro"])
def test_graphs_of_isomorphs_have_the_operations_of_the_architecture(name: str) -> None:
    space = make_space(name)
    rng = random.Random(0)
    for _ in range(20):
        labels, edges = graph_of(space, sample(space, rng))
        assert all(0 <= s < t < len(labels) for s, t in edges)


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


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("random", {"moves": True}, "has no setting 'moves'"),
        ("local", {"initial": 0}, "at least 1"),
        ("predictor", {"block": 0}, "at least 1"),
        ("predictor", {"dropout": 1.0}, "dropout"),
        ("aging_evolution", {"tournament": 99}, "tournament of 99"),
        ("aging_evolution", {"mix": 2.0}, "probability"),
        ("reinforce", {"lr": 0.0}, "above 0"),
        ("random", {"warmup": -1}, "number of networks to score"),
        ("aging_evolution", {"population": "many"}, "can't be made"),
    ],
)
def test_wrong_settings_are_refused(name: str, settings: dict[str, object], words: str) -> None:
    with pytest.raises(ForetellError, match=words):
        make_searcher(name, NB201, 0, **settings)  # type: ignore[arg-type]
