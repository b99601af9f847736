"""l2_norm: its value for the default initialisation."""

import math

import pytest
import torch
from torch import nn

from foretell import score


def test_l2_norm_of_a_default_layer_is_its_outputs() -> None:
    batch = torch.ones(2, 8), torch.zeros(2, dtype=torch.long)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(8, 300), nn.Linear(300, 1200), nn.Linear(1200, 4))
    expected = sum(math.sqrt(n / 3) for n in (300, 1200, 4))
    assert score(model, batch, "l2_norm")["l2_norm"].value == pytest.approx(expected, rel=0.02)
