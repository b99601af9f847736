"""REINFORCE: when it scores and trains, and what it learns."""

from foretell.searchers import (
    make_searcher,
)
from foretell.searchers.reinforce import Unknown
from foretell.spaces import (
    Arch,
    Subset,
    enumerate_space,
)
from foretell.testing.searchers import answer
from tests.support.searches import NB201, TOY, accuracies, trained


def test_reinforce_scores_between_trainings() -> None:
    search = make_searcher("reinforce", NB201, 0, warmup=5, moves=3)
    kinds = []
    for _ in range(14):
        (question,) = search.ask(1)
        kinds.append(question.kind)
        search.tell(question, answer(question))
    assert kinds == ["score"] * 5 + ["train"] + (["score"] * 3 + ["train"]) * 2


def test_reinforce_learns_in_a_subset_of_a_space() -> None:
    few = Subset(NB201, list(enumerate_space(NB201))[::61])

    def late(name: str) -> float:
        runs = (trained(make_searcher(name, few, seed), 70, accuracies)[30:] for seed in range(3))
        return sum(accuracies(q) for run in runs for q in run) / 120

    assert late("reinforce") > late("random") + 0.4


def test_known_scores_count_as_rewards_of_the_warmup() -> None:
    """Some of twenty rewards, in a space of 17 classes, belong to classes already scored."""
    search = make_searcher("reinforce", TOY, 0, warmup=20, hidden=8)
    scored = []
    while (question := search.ask(1)[0]).kind == "score":
        scored.append(TOY.canonical(question.arch))
        search.tell(question, answer(question))
    assert 5 < len(scored) == len(set(scored)) < 15


def test_a_random_architecture_is_unknown_until_there_is_none() -> None:
    draw, known = Unknown(TOY, 0), dict[Arch, float]()
    while found := draw.first(known):
        assert not found.keys() & known.keys()
        assert draw.first(known) == found
        known |= dict.fromkeys(found, 0.0)
    assert known.keys() == {TOY.canonical(arch) for arch in enumerate_space(TOY)}
