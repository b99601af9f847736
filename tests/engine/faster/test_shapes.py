"""Results without values, compared with PyTorch's own for many operations."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foretell import score
from foretell.batch import tensors
from foretell.engine.faster.shapes import KnownShapes
from foretell.engine.observers.dataflow import Dataflow

X = torch.empty(2, 4, 6, 6, device="meta")
LAST = X.contiguous(memory_format=torch.channels_last)
NORM = nn.BatchNorm2d(4, device="meta")
RESULTS: dict[str, Callable[[], Any]] = {
    "element by element": lambda: [X + 1, X * X, X.relu(), X > 0, X.int() + 1, X.int() / 2],
    "of another type": lambda: [X.double(), X.half() + X, X.mean(dtype=torch.float64)],
    "with other settings": lambda: [X.sum(1), X.sum(2), X.sum(1, keepdim=True), X.sum()],
    "in another layout": lambda: [LAST + 1, LAST.clone(), X + LAST, LAST.contiguous()],
    "views": lambda: [X.view(2, -1), X.mT, X[:, 1], X.flatten(1), X.unbind(1), X.chunk(2, 1)],
    "of a view": lambda: [X.mT + 1, X[:, 1].relu(), X[:, ::2].clone(), X.expand(2, 4, 6, 6).exp()],
    "in place": lambda: [X.clone().relu_(), X.clone().add_(1), X.int().mul_(2)],
    "in place, of another shape": lambda: [X.clone().unsqueeze_(0), X.clone().transpose_(0, 1)],
    "several": lambda: [X.max(1), X.sort(2), X.topk(2, 1), torch.var_mean(X, 1)],
    "convolutions": lambda: [F.conv2d(X, X[:, :, :3, :3]), F.conv2d(LAST, X[:, :, :3, :3])],
    "normalised": lambda: [NORM(X), NORM(X), NORM.running_mean],
    "of numbers": lambda: [torch.zeros(3, device="meta"), torch.arange(4, device="meta")],
    "with values": lambda: [torch.ones(3) + 1, torch.ones(3).nonzero()],
}


@pytest.mark.parametrize("name", RESULTS)
def test_they_are_like_those_of_torch(name: str) -> None:
    expected = [described(tensor) for tensor in tensors(RESULTS[name]())]
    with KnownShapes():
        for _ in range(2):
            assert [described(tensor) for tensor in tensors(RESULTS[name]())] == expected


def described(tensor: Tensor) -> tuple[Any, ...]:
    return tensor.shape, tensor.stride(), tensor.dtype, tensor.device, tensor.requires_grad


def test_what_is_new_shares_no_memory_and_what_is_in_place_does() -> None:
    with KnownShapes():
        for _ in range(2):
            first, second = X + 1, X + 1
            assert first.untyped_storage()._cdata != second.untyped_storage()._cdata
            assert first.relu_() is first


def test_an_operation_that_fails_fails_again() -> None:
    with KnownShapes():
        for _ in range(2):
            with pytest.raises(RuntimeError):
                X @ X[:, :, :3]


def test_where_operations_cannot_be_followed_flops_are_counted_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("not today")

    model, batch = nn.Linear(2, 2), (torch.eye(2), torch.tensor([0, 1]))
    monkeypatch.setattr(Dataflow, "_node", fail)
    found = score(model, batch, ["flops", "depth", "params_used"])
    assert found["flops"].value == score(model, batch, "flops")["flops"].value == 8
    why = "the operations of the model cannot be followed (RuntimeError: not today)"
    assert found["depth"].why == found["params_used"].why == why
    assert score(model, batch, "depth")["depth"].why == why
