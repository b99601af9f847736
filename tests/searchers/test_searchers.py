"""Laws that hold for every registered searcher, alone and within Warmup; and that they learn."""

import re
from collections.abc import Callable
from functools import partial

import pytest

from foretell.errors import ForetellError
from foretell.searchers import (
    SEARCHERS,
    Searcher,
    Warmup,
    make_searcher,
)
from foretell.spaces import (
    Space,
)
from foretell.testing import check_searcher
from tests.support.searches import NB201, TOY, accuracies, trained

SMALL: dict[str, dict[str, int]] = {
    "aging_evolution": {"population": 4, "tournament": 2},
    "guided": {"candidates": 40},
    "local": {"initial": 3},
    "nsga2": {"population": 4},
    "predictor": {"block": 4, "hidden": 4, "layers": 1, "epochs": 2, "candidates": 40},
    "reinforce": {"hidden": 8},
}
"""Settings with which each searcher passes its first phase within a few answers."""


def plain(name: str, space: Space, seed: int) -> Searcher:
    return make_searcher(name, space, seed, **SMALL.get(name, {}))


def warmed(name: str, space: Space, seed: int) -> Searcher:
    return Warmup(plain(name, space, seed), space, pool=9, first=4, seed=seed + 1)


def with_its_own_warmup(name: str, space: Space, seed: int) -> Searcher:
    return make_searcher(name, space, seed, warmup=9, **SMALL.get(name, {}))


def moving(name: str, space: Space, seed: int) -> Searcher:
    settings = SMALL.get(name, {})
    if "moves" in SEARCHERS[name].settings:
        settings = {**settings, "moves": 2}
    return make_searcher(name, space, seed, **settings)


def twice_warmed(name: str, space: Space, seed: int) -> Searcher:
    return Warmup(warmed(name, space, seed), space, pool=6, first=6, seed=seed + 2)


@pytest.mark.parametrize("make", [plain, warmed, twice_warmed, with_its_own_warmup, moving])
@pytest.mark.parametrize("name", SEARCHERS)
def test_every_registered_searcher_keeps_the_laws(
    name: str, make: Callable[[str, Space, int], Searcher]
) -> None:
    check_searcher(partial(make, name))


def test_an_unknown_searcher_is_named() -> None:
    with pytest.raises(ForetellError, match="no searcher is called 'rnadom'; did you mean 'random"):
        make_searcher("rnadom", TOY, 0)


@pytest.mark.parametrize("name", SEARCHERS)
def test_every_searcher_has_a_summary_and_a_source(name: str) -> None:
    assert SEARCHERS[name].summary.endswith(".")
    assert re.search(r"arXiv:|doi:", SEARCHERS[name].source)


@pytest.mark.parametrize("name", ["aging_evolution", "local", "reinforce"])
def test_learning_beats_random_search(name: str) -> None:
    """The mean accuracy of the last trainings, over three seeds, exceeds that of random search."""

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
        ("aging_evolution", {"population": "many"}, "population of searcher"),
    ],
)
def test_wrong_settings_are_refused(name: str, settings: dict[str, object], words: str) -> None:
    with pytest.raises(ForetellError, match=words):
        make_searcher(name, NB201, 0, **settings)  # type: ignore[arg-type]
