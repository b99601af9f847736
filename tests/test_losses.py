"""The losses by name, against values worked out by hand."""

import math
from typing import Any

import pytest
from torch import tensor

from foretell.losses import LOSSES

WORKED: dict[str, tuple[Any, Any, float]] = {
    "cross_entropy": (tensor([[0.0, math.log(3)]]), tensor([1]), math.log(4 / 3)),
    "mse": (tensor([[1.0, 5.0]]), tensor([[0.0, 2.0]]), (1 + 9) / 2),
    "l1": (tensor([[1.0, 5.0]]), tensor([[0.0, 8.0]]), (1 + 3) / 2),
    "bce_with_logits": (tensor([[0.0, math.log(3)]]), tensor([[1.0, 0.0]]), math.log(8) / 2),
    "token_cross_entropy": (tensor([[[0.0, 0.0], [9.0, 0.0]]]), tensor([[0, -100]]), math.log(2)),
    "own": ({"box": tensor(1.0), "class": tensor(0.5)}, None, 1.5),
}


def test_every_loss_is_worked_out() -> None:
    assert WORKED.keys() == LOSSES.keys()


@pytest.mark.parametrize("name", WORKED)
def test_a_loss_has_the_value_worked_out_by_hand(name: str) -> None:
    outputs, targets, value = WORKED[name]
    assert float(LOSSES[name](outputs, targets)) == pytest.approx(value, rel=1e-6)


def test_probabilities_of_classes_weigh_their_losses() -> None:
    """−.25 log .25 − .75 log .75, the entropy where the network predicts the targets."""
    found = LOSSES["cross_entropy"](tensor([[0.0, math.log(3)]]), tensor([[0.25, 0.75]]))
    assert float(found) == pytest.approx(0.25 * math.log(4) + 0.75 * math.log(4 / 3), rel=1e-6)
