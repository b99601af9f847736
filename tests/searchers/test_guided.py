"""The guided searcher: what it expects before anything is trained, and that it learns."""

import itertools
import math
import random

import numpy as np
import pytest

from foretell.searchers import Guided, Question
from foretell.searchers.guided import TRUST, one_hot
from foretell.searchers.process import Process, improvement, normal_scores, usual_kernel
from foretell.spaces import Arch
from tests.support.searches import NB201, accuracies

POOL = 80


def searched(
    scores: dict[str, float], count: int, seed: int = 0, noise: float = 0.0
) -> list[float]:
    """The accuracies of the networks that it trains; scores are the accuracy times a factor."""

    def known(arch: Arch) -> dict[str, float]:
        drawn = random.Random(f"{seed}{arch}")
        truth = accuracies(Question(arch, "train"))
        return {name: factor * truth + drawn.gauss(0, 0.3) for name, factor in scores.items()}

    search = Guided(NB201, seed, warmup=POOL, scores=known)
    for question in search.ask(POOL):
        search.tell(question, 0.0)
    found = []
    for number in range(count):
        (question,) = search.ask(1)
        found.append(accuracies(question))
        search.tell(question, found[-1] + random.Random(number).gauss(0, noise))
    return found


def test_good_scores_are_followed_from_the_start() -> None:
    """The second and third training are of typical and good networks, to see the order hold."""
    found = [searched({"flops": 1.0, "nwot": 1.0}, 6, seed) for seed in range(3)]
    assert np.mean([one[0] for one in found]) > 2.5
    assert np.mean([one[1] for one in found]) < 2
    assert np.mean([max(one) for one in found]) > 3


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_scores_that_mislead_are_not_followed_for_long(noise: float) -> None:
    found = [searched({"flops": -1.0, "nwot": -1.0}, 14, seed, noise) for seed in range(3)]
    assert np.mean([one[0] for one in found]) < 1
    assert np.mean([max(one[7:]) for one in found]) > 2.5


def test_failed_trainings_and_one_that_outshines_all_change_nothing_but_ranks() -> None:
    """Undefined results count as the worst; the size of a difference does not matter."""
    plain, odd = (Guided(NB201, 0, candidates=POOL) for _ in range(2))
    values = [math.nan, 1.0, 2.0, 3.0, -1.0]
    for value in values:
        (question,) = plain.ask(1)
        assert odd.ask(1) == [question]
        plain.tell(question, value)
        odd.tell(question, {3.0: 1e9, -1.0: -50.0}.get(value, value))
    assert plain.ask(9) == odd.ask(9)


def test_after_the_pool_others_follow_which_are_scored_first() -> None:
    scores = {"nwot": 1.0}
    search = Guided(NB201, 0, warmup=5, scores=lambda arch: scores)
    for kind in ("score", "train", "score", "train"):
        asked = search.ask(9)
        assert [question.kind for question in asked] == [kind] * 5
        for question in asked:
            search.tell(question, 1.0)
    assert {question.kind for question in search.ask(9)} == {"score"}


def test_a_network_that_was_trained_elsewhere_is_scored_and_learnt_from() -> None:
    search, other = Guided(NB201, 0, warmup=5), Question((3, 3, 3, 3, 3, 3), "train")
    search.tell(other, 99.0)
    asked = search.ask(9)
    assert [question.arch for question in asked][5:] == [other.arch]
    for question in asked:
        search.tell(question, float(question.arch.count(3)))
    assert len(search.ask(9)) == 5
    assert other not in search.ask(9)


def test_the_process_is_that_of_the_textbook() -> None:
    """Rasmussen and Williams 2006, equations 2.25 and 2.26, written out."""
    generator = np.random.default_rng(0)
    features, prior = generator.normal(size=(9, 2)), generator.normal(size=9)
    rows, values = np.array([1, 4, 6]), np.array([0.3, -0.2, 0.9])
    mean, error = Process(features, prior).predicted(rows, values, usual_kernel())

    def covariance(a: int, b: int) -> float:
        far = math.sqrt(5) * float(np.linalg.norm(features[a] - features[b]))
        smooth = (1 + far + far**2 / 3) * math.exp(-far)
        return 0.3 + 0.2 * float(features[a] @ features[b]) + 0.4 * smooth

    between = np.array([[covariance(a, b) for b in rows] for a in rows]) + 0.1 * np.eye(3)
    for at in range(9):
        here = np.array([covariance(at, b) for b in rows])
        weights = np.linalg.solve(between, here)
        assert mean[at] == pytest.approx(prior[at] + weights @ (values - prior[rows]))
        assert error[at] ** 2 == pytest.approx(covariance(at, at) - weights @ here, abs=1e-6)


def test_the_expected_improvement_is_that_of_draws() -> None:
    drawn = np.random.default_rng(0).normal(size=200_000)
    for mean, error in itertools.product((-1.0, 0.0, 0.5), (0.2, 1.0)):
        found = improvement(np.array([mean]), np.array([error]), 0.1)[0]
        assert found == pytest.approx(np.maximum(mean + error * drawn - 0.1, 0).mean(), abs=5e-3)


def test_the_kernel_depends_on_the_first_results_alone() -> None:
    """A search that is resumed has the same kernel as one that was never interrupted."""
    generator = np.random.default_rng(1)
    features = generator.normal(size=(40, 3))
    rows, results = np.arange(40), features @ [1.0, 0.5, 0.0]
    process, again = (Process(features, np.zeros(40)) for _ in range(2))
    for count in range(41):
        last = process.kernel(rows[:count], results[:count])
    assert last == again.kernel(rows, results)
    assert process.kernel(rows[:9], results[:9]) == usual_kernel()
    assert process.kernel(rows[:11], results[:11]) == process.kernel(rows[:15], results[:15])


def test_features_have_the_same_scale_for_any_number_of_options() -> None:
    archs = [tuple(random.Random(n).choices(range(5), k=6)) for n in range(50)]
    assert (one_hot(archs) ** 2).sum(axis=1).mean() == pytest.approx(1)
    assert normal_scores(np.arange(101.0)).std() == pytest.approx(1, abs=0.02)
    assert 0 < TRUST < 1
