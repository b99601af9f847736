"""The cost of a recurrence is proportional to its number of steps, in operations and memory.

Its curvature is right whichever way it is computed, and the cheaper way is chosen.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode

from foretell import explain, score
from foretell.engine.curvature import tangents

FEATURES, CLASSES = 3, 4


class Layer(nn.Module):
    """A recurrent layer, and a classifier of the last step."""

    def __init__(self, layer: nn.RNNBase) -> None:
        super().__init__()
        self.layer, self.classify = layer, nn.Linear(layer.hidden_size, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the last step."""
        out: Tensor = self.classify(self.layer(x)[0][:, -1])
        return out


class Unrolled(nn.Module):
    """A cell that is run step by step."""

    def __init__(self, cell: nn.Module, step: Callable[..., Any]) -> None:
        super().__init__()
        self.cell, self.classify = cell, nn.Linear(5, CLASSES)
        self.step = step

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the last state."""
        state = None
        for now in x.unbind(1):
            state = self.step(self.cell, now, state)
        out: Tensor = self.classify(state[0] if isinstance(state, tuple) else state)
        return out


def plain(cell: nn.Module, x: Tensor, state: Tensor | None) -> Tensor:
    """A step of h = tanh(Wx + Vh), with a gate."""
    h = x.new_zeros(len(x), 5) if state is None else state
    both = torch.cat([x, h], 1)
    out: Tensor = h + torch.tanh(cell(both)) * torch.sigmoid(h)
    return out


NETS: dict[str, Callable[[], nn.Module]] = {
    "LSTM": lambda: Layer(nn.LSTM(FEATURES, 5, 2, batch_first=True)),
    "GRU": lambda: Layer(nn.GRU(FEATURES, 5, bidirectional=False, batch_first=True)),
    "RNN": lambda: Layer(nn.RNN(FEATURES, 5, batch_first=True)),
    "LSTMCell": lambda: Unrolled(nn.LSTMCell(FEATURES, 5), lambda cell, x, s: cell(x, s)),
    "GRUCell": lambda: Unrolled(nn.GRUCell(FEATURES, 5), lambda cell, x, s: cell(x, s)),
    "by hand": lambda: Unrolled(nn.Linear(FEATURES + 5, 5), plain),
}


def net(name: str, steps: int) -> tuple[nn.Module, tuple[Tensor, Tensor]]:
    """A network in float64 and a batch."""
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = NETS[name]().double()
    x = torch.randn(4, steps, FEATURES, generator=generator).double()
    return model, (x, torch.arange(4) % CLASSES)


class Operations(TorchDispatchMode):
    """Counts them."""

    count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


def work(name: str, steps: int) -> tuple[int, int]:
    """The operations of the curvature for so many steps, and the bytes that autograd saves."""
    model, batch = net(name, steps)
    saved: dict[int, Tensor] = {}  # kept, so that ids are not reused

    def pack(tensor: Tensor) -> Tensor:
        saved[tensor.untyped_storage()._cdata] = tensor.detach()
        return tensor.detach()

    with Operations() as operations, saved_tensors_hooks(pack, lambda tensor: tensor):
        score(model, batch, "grasp")
    return operations.count, sum(tensor.untyped_storage().nbytes() for tensor in saved.values())


@pytest.mark.parametrize("steps", [75, 300])
@pytest.mark.parametrize("name", NETS)
def test_twice_the_steps_take_twice_the_work(name: str, steps: int) -> None:
    """By tangents for the fewer steps, and by a double backward for the many."""
    (once, saved_once), (twice, saved_twice) = work(name, steps), work(name, 2 * steps)
    assert twice <= 2.2 * once
    assert saved_twice <= 2.2 * saved_once


@pytest.mark.parametrize("steps", [3, 150])
@pytest.mark.parametrize("name", NETS)
def test_the_curvature_is_that_of_a_double_backward(name: str, steps: int) -> None:
    model, (x, labels) = net(name, steps)
    found = score(model, (x, labels), "grasp", verify=True)["grasp"]
    names = [n for n, p in model.named_parameters() if p.ndim > 1]
    weights = [model.get_parameter(n) for n in names]
    grads = torch.autograd.grad(F.cross_entropy(model(x), labels), weights, create_graph=True)
    along = torch.stack([(w.detach() * g).sum() for w, g in zip(weights, grads, strict=True)])
    product = torch.autograd.grad(along.sum(), weights)
    expected = -sum(float((g.detach() * h).sum()) for g, h in zip(grads, product, strict=True))
    assert found.why is None
    assert found.value == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("name", [name for name in NETS if name != "LSTMCell"])
def test_the_cheaper_way_is_chosen_and_said(name: str) -> None:
    """An LSTM cell has two results that depend on each other, so it has no tangents."""
    assert "tangents" in explain("grasp", *net(name, 3)).curvature
    many = explain("grasp", *net(name, 300)).curvature
    assert many.startswith("double backward, since it is cheaper for"), many


@pytest.mark.parametrize("name", ["GRUCell", "by hand"])
def test_tangents_of_many_steps_are_right_too_and_grow_no_faster(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = score(*net(name, 300), "grasp")["grasp"].value
    monkeypatch.setattr(tangents, "MANY", 10**9)
    assert "tangents" in explain("grasp", *net(name, 300)).curvature
    assert score(*net(name, 300), "grasp")["grasp"].value == pytest.approx(expected, rel=1e-9)
    assert work(name, 300)[0] <= 2.2 * work(name, 150)[0]
