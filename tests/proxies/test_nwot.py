"""Activations have codes in whatever form they are written."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from foretell import score
from foretell.engine.passes import PASSES
from foretell.proxies.nwot import nwot
from tests.support.models import SAMPLES, conv, make, normal
from tests.support.scores import subject_of, values, why


class Activated(nn.Module):
    """A network with an activation function between two layers."""

    def __init__(self, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.second, self.activation = conv(3, 8), nn.Linear(8, 4), activation

    def forward(self, x: Tensor) -> Tensor:
        """Convolution, activation, mean, classifier."""
        out: Tensor = self.second(self.activation(self.first(x)).mean((2, 3)))
        return out


def by_hand_gelu(x: Tensor) -> Tensor:
    """GELU as transformers write it out."""
    return 0.5 * x * (1.0 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x.pow(3))))


BENT: dict[str, Callable[[Tensor], Tensor]] = {
    "nn.ReLU": nn.ReLU(),
    "nn.ReLU in place": nn.ReLU(inplace=True),
    "F.relu": F.relu,
    "F.relu in place": lambda x: F.relu(x, inplace=True),
    "torch.relu": torch.relu,
    "torch.relu_": torch.relu_,
    "Tensor.relu": lambda x: x.relu(),
    "Tensor.relu_": lambda x: x.relu_(),
    "ReLU6": nn.ReLU6(inplace=True),
    "F.relu6": F.relu6,
    "LeakyReLU": nn.LeakyReLU(0.2, inplace=True),
    "PReLU": nn.PReLU(),
    "hardtanh": nn.Hardtanh(inplace=True),
    "hardswish": nn.Hardswish(inplace=True),
    "F.hardsigmoid": F.hardsigmoid,
    "hardsigmoid in place": nn.Hardsigmoid(inplace=True),
    "GELU": nn.GELU(),
    "SiLU": nn.SiLU(inplace=True),
    "Mish": nn.Mish(inplace=True),
    "ELU": nn.ELU(inplace=True),
    "CELU": nn.CELU(),
    "SELU": nn.SELU(),
    "softplus": F.softplus,
    "logsigmoid": F.logsigmoid,
    "threshold": nn.Threshold(0, 0),
    "clamp": lambda x: x.clamp(min=0),
    "clamp_": lambda x: x.clamp_(0, 6),
    "clamp_min": lambda x: torch.clamp_min(x, 0),
    "swish by hand": lambda x: x * torch.sigmoid(x),
    "swish in place": lambda x: x.mul_(x.sigmoid()),
    "quick GELU": lambda x: x * torch.sigmoid(1.702 * x),
    "GELU by hand": by_hand_gelu,
}


@pytest.mark.parametrize("name", BENT)
def test_every_activation_that_bends_at_zero_has_the_same_codes(name: str) -> None:
    images = normal(3, 5, 5)(Generator().manual_seed(1))
    model = Activated(BENT[name])
    with torch.no_grad():
        for index, tensor in enumerate(model.parameters()):
            if tensor.numel() > 1:
                tensor.copy_(torch.randn(tensor.shape, generator=Generator().manual_seed(index)))
    signs = (F.conv2d(images, model.first.weight, model.first.bias, padding=1) > 0).flatten(1)
    kernel = (signs[:, None] == signs).sum(2).double()
    labels = torch.zeros(SAMPLES, dtype=torch.long)
    found = PASSES["loss"](subject_of(model, (images, labels)), {"codes_kernel"}, {})
    assert torch.equal(found["codes_kernel"], kernel)
    expected = float(np.linalg.slogdet(kernel.numpy()).logabsdet)
    assert score(model, (images, labels), "nwot")["nwot"].value == pytest.approx(expected)


@pytest.mark.parametrize("activation", [torch.tanh, torch.sigmoid, torch.sin])
def test_a_model_that_bends_nowhere_has_no_codes(activation: Callable[[Tensor], Tensor]) -> None:
    _, batch = make("conv_bn_relu")
    expected = "this model has no activation with a kink or a gate"
    assert why(Activated(activation), batch, "nwot") == (
        f"{expected} (found: {activation.__name__} × 1)"
    )
    assert why(Activated(lambda x: x), batch, "nwot") == expected


def test_a_gate_of_other_shape_is_no_activation() -> None:
    """Squeeze-and-excite scales whole channels; its ReLU counts, its sigmoid does not."""

    def excite(x: Tensor) -> Tensor:
        return x * torch.sigmoid(F.relu(x.mean((2, 3), keepdim=True)))

    _, batch = make("conv_bn_relu")
    found = PASSES["loss"](subject_of(Activated(excite), batch), {"codes_kernel"}, {})
    assert found["codes_kernel"].diagonal().tolist() == [8.0] * SAMPLES


@pytest.mark.parametrize(
    "glu",
    [
        lambda x: F.glu(torch.cat([x, -x], 1), 1),
        lambda x: F.glu(torch.cat([x, -x], 2), dim=2),
        lambda x: F.glu(torch.cat([x, -x], 3)),
        lambda x: torch._C._nn.glu(torch.cat([x, -x], 3)),  # the last axis by default
    ],
)
def test_glu_is_coded_by_its_gate(glu: Callable[[Tensor], Tensor]) -> None:
    _, batch = make("conv_bn_relu")
    model = Activated(glu)
    found = PASSES["loss"](subject_of(model, batch), {"codes_kernel"}, {})
    relu = PASSES["loss"](
        subject_of(model_with(model, lambda x: F.relu(-x)), batch), {"codes_kernel"}, {}
    )
    assert torch.equal(found["codes_kernel"], relu["codes_kernel"])


def model_with(model: Activated, activation: Callable[[Tensor], Tensor]) -> Activated:
    """The same layers with another activation function."""
    other = Activated(activation)
    other.load_state_dict(model.state_dict())
    return other


def test_what_is_worked_out_once_for_all_samples_has_no_codes() -> None:
    """A table of biases, as in the second version of Swin, is the same for every pair."""

    class Table(Activated):
        """A network that adds ReLU of a parameter."""

        def forward(self, x: Tensor) -> Tensor:
            bias = F.relu(self.second.weight)
            return super().forward(x) + bias.mean()

    _, batch = make("conv_bn_relu")
    found = PASSES["loss"](subject_of(Table(F.relu), batch), {"codes_kernel"}, {})
    assert found["codes_kernel"].diagonal().tolist() == [8.0 * 36] * SAMPLES


def test_tokens_first_or_samples_first_give_the_same_kernel() -> None:
    class TimeFirst(nn.Module):
        """The same network over a sequence, with activations of shape [T, N, C] or [N, T, C]."""

        def __init__(self, first: bool) -> None:
            super().__init__()
            self.first, self.embed = first, nn.Linear(5, 8)

        def forward(self, x: Tensor) -> Tensor:
            x = self.embed(x)
            x = F.gelu(x.transpose(0, 1)).transpose(0, 1) if self.first else F.gelu(x)
            return x.mean(1)

    one, other = TimeFirst(True), TimeFirst(False)
    other.load_state_dict(one.state_dict())
    batch = normal(7, 5)(Generator().manual_seed(3)), torch.zeros(SAMPLES, dtype=torch.long)
    assert values(score(one, batch, "nwot")) == values(score(other, batch, "nwot"))


def test_samples_that_nothing_tells_apart() -> None:
    model, (images, labels) = make("residual")
    twice = torch.cat([images[:3], images[:3]])
    assert why(model, (twice, labels), "nwot") == (
        "the kernel is singular: two samples have the same codes"
    )
    assert why(model, (images[:1], labels[:1]), "nwot") == "a kernel needs at least two samples"
    narrow = nn.Sequential(nn.Linear(1, 2, bias=False), nn.ReLU(), nn.Linear(2, 4))
    points = torch.arange(-3.0, 3.0)[:, None]
    assert "singular" in why(narrow, (points, labels), "nwot")


def test_parts_with_other_activations_have_no_kernel() -> None:
    """If the activations depend on the values, there is no kernel of all pairs."""

    class Fickle(Activated):
        """A network with one more activation, of no effect, if the first pixel is positive."""

        def forward(self, x: Tensor) -> Tensor:
            out = super().forward(x)
            return out + 0 * F.relu(out) if len(x) == 1 and x.flatten()[0] > 0 else out

    _, (images, labels) = make("residual")
    images[0, 0, 0, 0], images[1, 0, 0, 0] = 1.0, -1.0
    found = score(Fickle(F.relu), (images, labels), ["nwot", "snip"], micro_batch=1)
    assert "the same activations for each sample" in str(found["nwot"].why)
    assert found["snip"].why is None


@pytest.mark.parametrize(
    ("kernel", "why"),
    [
        ([[3.0]], "at least two samples"),
        ([[3.0, 3.0, 1.0], [3.0, 3.0, 1.0], [1.0, 1.0, 3.0]], "two samples have the same codes"),
        ([[2.0, 1.0, 1.0, 0.0], [1.0, 2.0, 0.0, 1.0], [1.0, 0.0, 2.0, 1.0], [0.0, 1.0, 1.0, 2.0]],
         "there are too few units"),
    ],
)  # fmt: skip
def test_which_reason_a_kernel_without_a_determinant_has(
    kernel: list[list[float]], why: str
) -> None:
    with pytest.raises(ArithmeticError, match=why):
        nwot(torch.tensor(kernel))
