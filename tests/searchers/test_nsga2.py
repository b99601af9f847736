"""NSGA-II: it optimises accuracy and cost together."""

from typing import Any

import numpy as np
import pytest

from foretell import ForetellError
from foretell.searchers import Question, make_searcher
from foretell.searching.pareto import hypervolume, undominated
from foretell.spaces import Arch, NASBench201

NB201 = NASBench201()


def accuracy(arch: Arch) -> float:
    """Convolutions improve the accuracy, and pooling reduces it."""
    return 3.0 * arch.count(3) + arch.count(2) - arch.count(4)


def convolutions(arch: Arch) -> list[float]:
    return [9.0 * arch.count(3) + arch.count(2)]


def front_area(archs: list[Arch]) -> float:
    points = np.array([[-accuracy(arch), *convolutions(arch)] for arch in archs])
    return hypervolume(points, (7.0, 55.0))


def trained(name: str, seed: int, number: int, warmup: int = 0, **settings: Any) -> list[Arch]:
    searcher = make_searcher(name, NB201, seed, warmup=warmup, **settings)
    found: list[Arch] = []
    while len(found) < number:
        for question in searcher.ask(1):
            searcher.tell(question, accuracy(question.arch))
            found += [question.arch] if question.kind == "train" else []
    return found


def test_it_covers_more_than_random_search() -> None:
    """After a warmup on scores that equal the accuracies, it covers even more."""
    areas = {"random": 0.0, "nsga2": 0.0, "warm": 0.0}
    for seed in range(10):
        nsga2: dict[str, Any] = {"population": 10, "costs": convolutions}
        areas["random"] += front_area(trained("random", seed, 60))
        areas["nsga2"] += front_area(trained("nsga2", seed, 60, **nsga2))
        areas["warm"] += front_area(trained("nsga2", seed, 60, warmup=200, **nsga2))
    assert areas["random"] < areas["nsga2"] < areas["warm"]


def test_a_warmup_trains_its_final_population() -> None:
    """At least half of the first population to be trained is on the front of the scored ones."""
    settings: dict[str, Any] = {"population": 6, "costs": convolutions}
    searcher = make_searcher("nsga2", NB201, 0, warmup=100, **settings)
    scored: list[Arch] = []
    while (questions := searcher.ask(7))[0].kind == "score":
        for question in questions:
            searcher.tell(question, accuracy(question.arch))
            scored.append(question.arch)
    assert len({NB201.canonical(arch) for arch in scored}) == 100
    points = np.array([[-accuracy(arch), *convolutions(arch)] for arch in scored])
    first = [question.arch for question in searcher.ask(6)]
    best = {arch for arch, good in zip(scored, undominated(points), strict=True) if good}
    assert len(best & set(first)) >= 3


def test_unsolicited_results_join_the_population() -> None:
    searcher = make_searcher("nsga2", NB201, 0, population=3, costs=convolutions)
    for text in ("333333", "000000", "222222"):
        arch = NB201.parse(text)
        searcher.tell(Question(arch, "train"), accuracy(arch))
    children = searcher.ask(3)
    assert len(children) == 3
    assert {NB201.canonical(child.arch) for child in children}.isdisjoint(
        NB201.canonical(NB201.parse(text)) for text in ("333333", "000000", "222222")
    )


def test_a_population_has_at_least_two_members() -> None:
    for population in (1, 0, 2.0):
        with pytest.raises(ForetellError, match=f"population.* is {population}; "):
            make_searcher("nsga2", NB201, 0, population=population)
    assert len(make_searcher("nsga2", NB201, 0, population=2).ask(9)) == 2
