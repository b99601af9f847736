"""The correlations of channels do not depend on how a network is written."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from foretell import score
from foretell.engine.passes import PASSES
from tests.support.models import SAMPLES, conv, normal
from tests.support.scores import subject_of, values, why

IMAGES = normal(3, 7, 7)(Generator().manual_seed(1)).double()
LABELS = torch.arange(SAMPLES) % 4
BOTH = ["rmin", "d8", "rd8"]


class Activated(nn.Module):
    """A network with an activation function between two layers."""

    def __init__(self, activation: Callable[[Tensor], Tensor], channels: int = 12) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.first, self.second = conv(3, 12), nn.Linear(channels, 4)
        self.activation = activation
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        """Convolution, activation, mean, classifier."""
        out: Tensor = self.second(self.activation(self.first(x)).mean((2, 3)))
        return out


def by_hand(maps: Tensor) -> float:
    """The mean over samples of the smallest eigenvalue of NumPy's correlations."""
    rows = maps.detach().flatten(2).numpy()
    return float(np.mean([np.linalg.eigvalsh(np.corrcoef(sample))[0] for sample in rows]))


BENT: dict[str, Callable[[Tensor], Tensor]] = {
    "ReLU": nn.ReLU(),
    "ReLU in place": nn.ReLU(inplace=True),
    "torch.relu_": torch.relu_,
    "F.gelu": F.gelu,
    "Tensor.tanh": Tensor.tanh,
    "sigmoid": nn.Sigmoid(),
    "swish by hand": lambda x: x * torch.sigmoid(x),
    "clamp": lambda x: x.clamp(min=0),
    "softsign": F.softsign,
    "channels last": lambda x: F.relu(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2),
    "a sequence": lambda x: F.relu(x.flatten(2).transpose(1, 2)).mT.unflatten(2, (7, 7)),
    "pixels first": lambda x: F.relu(x.flatten(2).permute(2, 0, 1)).permute(1, 2, 0)[..., None],
    "samples of pixels": lambda x: F.relu(x.movedim(1, 3).reshape(-1, 12)).view(-1, 49, 1, 12).mT.
    transpose(1, 2),
    "after a sum": lambda x: F.relu(x + 1),
    "after a function of its own": lambda x: F.relu(Same.apply(x)),
}  # fmt: skip


class Same(torch.autograd.Function):
    """The identity, out of the observers' sight."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        """A copy."""
        return x.clone()

    @staticmethod
    def backward(ctx: object, *grads: Tensor) -> Tensor:
        """The gradient as it is."""
        return grads[0]


@pytest.mark.parametrize("name", BENT)
def test_an_activation_is_seen_in_whatever_form_it_is_written(name: str) -> None:
    model = Activated(BENT[name])
    found = score(model, (IMAGES, LABELS), BOTH)
    assert found["rmin"].value == pytest.approx(by_hand(model.first(IMAGES)), rel=1e-10)
    plain = score(Activated(F.relu), (IMAGES, LABELS), BOTH)
    assert values(found) == pytest.approx(values(plain), rel=1e-10)


def test_of_a_glu_the_gate_is_correlated() -> None:
    model = Activated(lambda x: F.glu(x, 1), channels=6)
    expected = by_hand(model.first(IMAGES)[:, 6:])
    assert score(model, (IMAGES, LABELS), "rmin")["rmin"].value == pytest.approx(expected)


def test_what_acts_on_several_numbers_is_no_activation() -> None:
    model = Activated(lambda x: x.softmax(1).exp())
    assert why(model, (IMAGES, LABELS), "rmin") == (
        "no operation of this model is an activation function (found: softmax × 1, exp × 1)"
    )


def test_what_does_not_depend_on_the_inputs_is_left_out() -> None:
    """A table of biases is not a feature of a sample, whatever its shape."""

    class Table(Activated):
        """A network that adds the ReLU of a parameter with as many rows as there are samples."""

        def forward(self, x: Tensor) -> Tensor:
            table = F.relu(self.first.weight[:SAMPLES] * 2)
            return super().forward(x) + table.sum()

    plain, other = Activated(F.relu), Table(F.relu)
    assert values(score(plain, (IMAGES, LABELS), BOTH)) == values(
        score(other, (IMAGES, LABELS), BOTH)
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "spoil",
    [
        lambda x: torch.cat([x[:, :11], x[:, :1] * 0 + 3], 1),
        lambda x: torch.cat([x[:, :11], x[:, :1] - 2 * x[:, 1:2]], 1),
    ],
    ids=["constant", "mixture"],
)
def test_a_channel_that_is_constant_or_a_mixture_gives_exactly_zero(
    spoil: Callable[[Tensor], Tensor], dtype: torch.dtype
) -> None:
    model = Activated(lambda x: F.relu(spoil(x))).to(dtype)
    assert score(model, (IMAGES.to(dtype), LABELS), "rmin")["rmin"].value == 0.0


def test_the_draws_of_a_layer_depend_on_its_place_and_the_seed_alone() -> None:
    def draws(model: nn.Module, seed: int = 0) -> Tensor:
        subject = subject_of(model, (IMAGES, LABELS), seed=seed)
        return PASSES["loss"](subject, {"layer_draws"}, {})["layer_draws"]["0.weight"]

    one, more = [conv(3, 12).double()], [nn.ReLU(), conv(12, 9).double()]
    end = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    expected = draws(nn.Sequential(*one, *end))
    assert expected.shape == (SAMPLES, 4)
    assert torch.equal(draws(nn.Sequential(*one, *more, *end)), expected)
    assert not torch.equal(draws(nn.Sequential(*one, *end), seed=1), expected)
    assert len({row.std().item() == 0 for row in expected}) == 1


def test_values_that_are_not_finite_make_the_score_undefined() -> None:
    model = Activated(lambda x: F.relu(x / (x - x)))
    assert "nan" in why(model, (IMAGES, LABELS), "rmin")


def test_pixels_that_are_nearly_the_same_everywhere_are_still_channels() -> None:
    """A large mean leaves few digits, which are not mistaken for a constant."""
    near, far = (
        Activated(lambda x, shift=shift: F.relu(x.float() + shift).double())  # type: ignore[misc]
        for shift in (0.0, 1000.0)
    )
    expected = score(near, (IMAGES, LABELS), "rmin")["rmin"].value
    found = score(far, (IMAGES, LABELS), "rmin")["rmin"].value
    assert found == pytest.approx(expected, rel=1e-2)
