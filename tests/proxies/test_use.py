"""What no output depends on is not counted, however a network is written."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from foretell import score

BATCH = (torch.ones(3, 4), torch.tensor([0, 1, 0]))
COUNTS = ["params_used", "flops_used", "depth"]
USED = {"params_used": 8 * 5 + 2 * 9, "flops_used": 2 * (4 * 8 + 8 * 2), "depth": 2}
"""Of a layer from four to eight numbers and one from eight to two, with biases."""


class Branches(nn.Module):
    """Two layers, and another one beside the first whose output is used in some way."""

    def __init__(self, join: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.other, self.last = nn.Linear(4, 8), nn.Linear(4, 8), nn.Linear(8, 2)
        self.join = join

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        out: Tensor = self.last(self.join(self.first(x), self.other(x)))
        return out


def over(x: Tensor, y: Tensor) -> Tensor:
    """The first, written over the zeros that are left of the second."""
    y = y.mul_(0)
    y += x
    return y


DEAD: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "not used": lambda x, y: x,
    "used for what is not used": lambda x, y: (x, (x * y).exp())[0],
    "times zero": lambda x, y: x + y * 0,
    "zero times": lambda x, y: x + 0.0 * y,
    "times zero in place": over,
    "its shape alone": lambda x, y: x + torch.ones_like(y),
}
ALIVE: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "a sum": lambda x, y: x + y,
    "without gradient": lambda x, y: x + y.detach(),
    "a mask": lambda x, y: x * (y > 0),
    "an index": lambda x, y: x.gather(1, y.argsort(1)),
    "written into a part": lambda x, y: x.clone().index_copy_(1, torch.tensor([0]), y[:, :1]),
    "a number": lambda x, y: x * 0.5 + y.sum() * 0.5,
}


@pytest.mark.parametrize("name", DEAD)
def test_a_branch_of_no_use_is_not_counted(name: str) -> None:
    found = score(Branches(DEAD[name]), BATCH, [*COUNTS, "params", "flops"])
    assert {count: found[count].value for count in COUNTS} == USED
    assert found["params"].value == USED["params_used"] + 8 * 5
    assert found["flops"].value == USED["flops_used"] + 2 * 4 * 8


@pytest.mark.parametrize("name", ALIVE)
def test_a_branch_that_changes_the_output_is_counted(name: str) -> None:
    found = score(Branches(ALIVE[name]), BATCH, [*COUNTS, "params", "flops"])
    assert found["params_used"].value == found["params"].value
    assert found["flops_used"].value == found["flops"].value
    assert found["depth"].value == 2


def test_a_model_that_needs_values_is_followed_as_well() -> None:
    model = Branches(lambda x, y: x if float(x.sum()) > -1e9 else y)
    assert {k: s.value for k, s in score(model, BATCH, COUNTS).items()} == USED


def test_a_skip_does_not_shorten_and_a_score_of_weights_is_no_layer() -> None:
    class Skip(nn.Module):
        """Attention whose query is computed from weights, and a layer beside a skip."""

        def __init__(self) -> None:
            super().__init__()
            self.layer, self.scale = nn.Linear(4, 4), nn.Linear(4, 4)
            self.query = nn.Parameter(torch.ones(1, 4))

        def forward(self, x: Tensor) -> Tensor:
            x = x + self.layer(x)
            return x * self.scale(self.query)

    assert score(Skip(), BATCH, "depth")["depth"].value == 1


def test_outputs_that_cannot_be_read_have_a_reason() -> None:
    class Box(nn.Module):
        """A network that returns an object of its own."""

        def forward(self, x: Tensor) -> object:
            return type("Found", (), {"logits": x})()

    found = score(Box(), BATCH, "depth")["depth"]
    assert (
        found.why == "the model's output is neither a tensor nor a tuple, list or dict of tensors"
    )
