"""Architectures as graphs."""

import random

import pytest

from foretell.spaces import (
    graph_of,
    make_space,
    sample,
)
from tests.support.searches import TOY


@pytest.mark.parametrize("name", ["nb101", "nb201", "macro", "darts", "tnb101_micro"])
def test_graphs_of_isomorphs_have_the_operations_of_the_architecture(name: str) -> None:
    space = make_space(name)
    rng = random.Random(0)
    for _ in range(20):
        labels, edges = graph_of(space, sample(space, rng))
        assert all(0 <= s < t < len(labels) for s, t in edges)


def test_a_space_without_a_graph_has_one_node_per_choice_all_connected() -> None:
    labels, edges = graph_of(TOY, (0, 2, 1))
    assert labels == ("0: a", "1: c", "2: b")
    assert edges == ((0, 1), (0, 2), (1, 2))
