"""Scores that need no loss do not depend on the targets, whatever their type and shape."""

from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from foretell import Batch, score

FORWARD_ONLY = ["nwot", "swap", "rmin", "d8", "near", "meco", "te_nas_regions", "zen", "synflow"]

TARGETS = {
    "soft labels": ("cross_entropy", torch.softmax(torch.arange(24.0).reshape(6, 4), 1)),
    "numbers": ("mse", torch.arange(24.0).reshape(6, 4)),
    "several labels": ("bce_with_logits", (torch.arange(24).reshape(6, 4) % 3 == 0).float()),
    "one of its own": (lambda out, target: (out - target).pow(2).mean(), torch.ones(4)),
}


def net() -> nn.Sequential:
    torch.manual_seed(0)
    stem = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU()
    return nn.Sequential(*stem, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 4))


@pytest.mark.parametrize("kind", TARGETS)
def test_forward_only_scores_do_not_depend_on_the_targets(kind: str) -> None:
    x = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    loss, target = TARGETS[kind]
    labels = torch.tensor([0, 1, 2, 3, 0, 1])
    wanted = score(net(), (x, labels), [*FORWARD_ONLY, "snip"])
    batch = Batch(x, target.expand(6, 4).clone() if target.ndim == 1 else target)
    found = score(net(), batch, [*FORWARD_ONLY, "snip"], loss=loss)
    assert found["snip"].why is None
    for name in FORWARD_ONLY:
        assert wanted[name].why is None, name
        assert found[name].value == wanted[name].value, (name, found[name].why)


class Pair(NamedTuple):
    """Inputs with names."""

    first: Tensor
    second: Tensor


class Named(nn.Module):
    """A model whose argument is a named tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.out = nn.Linear(4, 32), nn.Linear(32, 3)

    def forward(self, pair: Pair) -> Tensor:
        hidden = self.layer(pair.first) + self.layer(pair.second)
        out: Tensor = self.out(torch.relu(hidden))
        return out


class Apart(Named):
    """The same with two arguments."""

    def forward(self, first: Tensor, second: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(Pair(first, second))


def test_named_tuples_stay_named_in_every_pass() -> None:
    torch.manual_seed(0)
    first, second = torch.randn(6, 4), torch.randn(6, 4)
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    model = Named()
    apart = Apart()
    apart.load_state_dict(model.state_dict())
    names = ["snip", "synflow", "zen", "jacob_cov", "nwot"]
    found = score(model, Batch((Pair(first, second),), labels), names)
    wanted = score(apart, Batch((first, second), labels), names)
    for name in names:
        assert found[name].why is None, found[name].why
        assert found[name].value == wanted[name].value, name
