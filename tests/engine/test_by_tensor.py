"""A dictionary by tensor keeps no tensor alive, and never takes one tensor for another."""

import pytest
import torch

from foretell.engine.by_tensor import ByTensor


def test_an_entry_ends_with_its_tensor_and_not_before() -> None:
    held = ByTensor[int]()
    x = torch.ones(2, requires_grad=True)
    y = x.exp()
    held[y] = 1
    node = (y * 2).grad_fn  # saves y, which has no name from now on
    del y
    assert len(held) <= 1
    del node
    assert not held


def test_a_later_tensor_at_the_same_address_has_no_entry() -> None:
    held = ByTensor[int]()
    for _ in range(100):
        x = torch.ones(2)
        assert x not in held
        assert held.get(x) is None
        held[x] = 1
        del x
    assert list(held) == []


def test_equal_tensors_are_different_keys() -> None:
    x, y = torch.ones(2), torch.ones(2)
    held = ByTensor([(x, "x"), (y, "y")])
    held[x] = "again"
    del held[y]
    assert held[x] == "again"
    assert y not in held
    with pytest.raises(KeyError):
        held[y]
    held.clear()
    assert len(held) == 0
