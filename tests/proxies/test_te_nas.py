"""The two scores of TE-NAS, on networks whose regions and kernels can be seen by hand."""

import pytest
import torch
from torch import Tensor, nn

from foretell import score
from tests.support.scores import why


def line(slopes: list[float]) -> nn.Module:
    """Σ relu(slope · x − 1): a function of one number with a kink at each 1 / slope."""
    layer = nn.Linear(1, len(slopes))
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(slopes).unsqueeze(1))
        layer.bias.fill_(-1.0)
    return nn.Sequential(layer, nn.ReLU(), nn.Linear(len(slopes), 2))


def at(points: list[float]) -> tuple[Tensor, Tensor]:
    """A batch of single numbers."""
    return torch.tensor(points).unsqueeze(1), torch.zeros(len(points), dtype=torch.long)


def test_the_regions_are_the_intervals_that_have_a_sample() -> None:
    model = line([1.0, 0.5])  # kinks at 1 and 2
    for points, regions in (([0.0, 0.5], 1), ([0.0, 1.5, 0.2], 2), ([3.0, 1.5, 0.0, 9.0], 3)):
        assert score(model, at(points), "te_nas_regions")["te_nas_regions"].value == regions


def test_the_kernel_of_a_linear_layer_is_that_of_its_inputs() -> None:
    model = nn.Linear(2, 3, bias=False)
    batch = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1])
    assert score(model, batch, "te_nas_ntk")["te_nas_ntk"].value == pytest.approx(4)


def test_samples_that_are_alike_have_no_condition_number() -> None:
    assert "singular" in why(line([1.0, 0.5]), at([3.0, 3.0, 5.0]), "te_nas_ntk")
    assert "at least two" in why(line([1.0, 0.5]), at([3.0]), "te_nas_ntk")
