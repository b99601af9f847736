"""The predictor: what it learns from trainings and from scores."""

import numpy as np
import torch

from foretell.searchers import make_searcher
from foretell.searchers.predictor import GraphNetwork
from tests.support.searches import NB201, accuracies, trained


def test_the_predictor_learns_which_networks_are_accurate() -> None:
    """After three blocks, the networks that it predicts to be best are better than random ones."""
    settings = {"block": 16, "hidden": 32, "layers": 2, "lr": 3e-3, "epochs": 60}
    search = make_searcher("predictor", NB201, 0, candidates=500, **settings)
    found = [accuracies(question) for question in trained(search, 64, accuracies)]
    assert sum(found[48:56]) / 8 > sum(found[:16]) / 16 + 1


def test_a_warmup_trains_the_predictor_on_scores() -> None:
    settings = {"block": 8, "hidden": 32, "layers": 2, "lr": 3e-3, "epochs": 60}
    search = make_searcher("predictor", NB201, 0, candidates=500, warmup=100, **settings)
    for question in search.ask(1000):
        assert question.kind == "score"
        search.tell(question, accuracies(question))
    first = search.ask(1000)
    assert {question.kind for question in first} == {"train"}
    assert len(first) == 8
    assert sum(map(accuracies, first)) / 8 > 2.5  # 1.2 at random


def test_a_warmup_is_as_long_as_was_set_however_it_is_asked() -> None:
    settings = {"block": 2, "hidden": 4, "layers": 1, "epochs": 1}
    search = make_searcher("predictor", NB201, 0, candidates=50, warmup=5, **settings)
    first = search.ask(3)
    for question in first:
        search.tell(question, accuracies(question))
    rest = search.ask(100)
    assert (len(first), len(rest)) == (3, 2)
    assert not {question.arch for question in first} & {question.arch for question in rest}


def test_dropout_needs_random_numbers_and_scales_what_it_keeps() -> None:
    network = GraphNetwork(labels=3, layers=1, hidden=400)
    nodes, edges = torch.eye(3)[None], torch.triu(torch.ones(1, 3, 3), 1)
    whole = network(nodes, edges)
    assert torch.equal(network(nodes, edges, keep=0.5), whole)
    dropped = network(nodes, edges, keep=0.5, rng=np.random.default_rng(0))
    assert not torch.equal(dropped, whole)
    assert torch.allclose(dropped, whole, atol=0.3)
