"""epe_nas: its two formulas, and the labels that it needs."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Generator, nn

from foretell.proxies import PROXIES
from tests.support.models import SAMPLES, make
from tests.support.scores import why


def epe_by_loops(rows: np.ndarray[Any, Any], labels: list[int], many: bool) -> float:
    """The two formulas of the definition, with loops."""
    sums = []
    for label in sorted(set(labels)):
        own = [row for row, its in zip(rows, labels, strict=True) if its == label]
        if len(own) > 1:
            logs = [math.log(abs(np.corrcoef(a, b)[0, 1]) + 1e-5) for a in own for b in own]
            sums.append(sum(logs) / (len(own) if many else 1))
    if many:
        return sum(abs(a - b) for a in sums for b in sums) / len(sums)
    return sum(abs(s) for s in sums)


@pytest.mark.parametrize("outputs", [4, 100, 101, 150])
def test_more_than_a_hundred_outputs_have_their_own_formula(outputs: int) -> None:
    rows = torch.randn(7, 12, generator=Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.tensor([3, 1, 1, 3, 0, 1, 7])
    expected = epe_by_loops(rows.numpy(), labels.tolist(), outputs > 100)
    given = PROXIES["epe_nas"].function(rows, labels, outputs)
    assert float(given) == pytest.approx(expected, rel=1e-12)


def test_epe_nas_needs_classes_of_two() -> None:
    model, (images, labels) = make("residual")
    each_its_own = torch.arange(6).remainder(4)[torch.tensor([0, 1, 2, 3])]
    assert why(model, (images[:4], each_its_own), "epe_nas") == (
        "no class has two samples in this batch"
    )
    many = nn.Sequential(nn.Flatten(), nn.Linear(75, 101))
    alike = torch.zeros(SAMPLES, dtype=torch.long)
    assert why(many, (images, alike), "epe_nas") == (
        "fewer than two classes have two samples in this batch"
    )
    for targets in (None, torch.rand(SAMPLES, 4)):
        own_loss = {"loss": lambda outputs, _: outputs.mean()}
        assert why(model, (images, targets), "epe_nas", **own_loss) == (
            "one class label per sample is needed"
        )
    constant = nn.Sequential(nn.Flatten(), nn.Linear(75, 4))
    with torch.no_grad():
        constant[1].weight.fill_(1.0)
    assert "constant" in why(constant, (images, labels), "epe_nas")
