"""The curvature along the weights, for each operation, compared with a plain double backward.

An operation without a rule for tangents must fall back to a double backward; one with a rule, or
with two gradients of its own, must be right. The other scores must not change in either case.
"""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from foretell import explain, score
from foretell.engine.weights import counted_weights
from tests.support.models import CLASSES, Case, fill, normal
from tests.twins.proxies import TWINS

Change = Callable[[Tensor], Tensor]


def add_in_place(h: Tensor) -> Tensor:
    """+= of another tensor that depends on the weights; the result is used again."""
    again = h
    h += h.tanh()
    return h * again


def added_twice(h: Tensor) -> Tensor:
    """An in-place sum with itself."""
    h += h
    return h


def relu_as_a_statement(h: Tensor) -> Tensor:
    """The result of the call is not used."""
    F.relu_(h)
    return h


def relu_under_a_view(h: Tensor) -> Tensor:
    """A view is created before its base is overwritten."""
    view = h.flatten(1)
    F.relu_(h)
    return view * view


def relu_of_a_view(h: Tensor) -> Tensor:
    """The base is used after a view of it was overwritten."""
    F.relu_(h.view(len(h), -1))
    return h * 3.0


def partly_overwritten(h: Tensor) -> Tensor:
    """Some channels become constants."""
    h = h.clone()
    h[:, 0] = 0.5
    return h * h


def scaled_by_a_constant(h: Tensor) -> Tensor:
    """A statistic is not differentiated."""
    with torch.no_grad():
        scale = h.mean() + 1
    return h * scale


def shared_then_overwritten(h: Tensor) -> Tensor:
    """A sum with a constant, whose tangent is that of the other term."""
    shifted = h + 1.0
    F.relu6(shifted, inplace=True)
    return shifted * h


def gated(h: Tensor) -> Tensor:
    """One half of the channels gates the other."""
    one, other = h.chunk(2, 1)
    return one * torch.sigmoid(other)


class Normed(nn.Module):
    """A normalisation whose input may also be used elsewhere."""

    def __init__(self, run: Callable[[nn.Module, Tensor], Tensor], conv: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 1) if conv else nn.Identity()
        self.norm = nn.BatchNorm2d(4)
        self.run = run

    def forward(self, h: Tensor) -> Tensor:
        """Apply `run`."""
        return self.run(self, h)


def twice(norm: nn.Module, h: Tensor) -> Tensor:
    """Both calls read the same tangent, so neither may overwrite it."""
    out: Tensor = norm(h) + norm(h) * 2
    return out


NORMED: dict[str, Change] = {
    "then used again": Normed(lambda m, h: m.norm(h) * h),
    "used before": Normed(lambda m, h: h.tanh() + m.norm(h)),
    "twice": Normed(lambda m, h: m.norm(h) + m.norm(h) * 2),
    "then overwritten": Normed(lambda m, h: F.relu_(m.norm(h)).square()),
    "then its input overwritten": Normed(lambda m, h: m.norm(h.clone()) + F.silu(h, inplace=True)),
    "after a pointwise convolution": Normed(lambda m, h: m.norm(m.conv(h)) + h, conv=True),
    "after a sum": Normed(lambda m, h: m.norm(m.conv(h) + h), conv=True),
    "after another": Normed(lambda m, h: m.norm(m.norm(m.conv(h))), conv=True),
    "twice after a convolution": Normed(lambda m, h: twice(m.norm, m.conv(h)), conv=True),
    "in a view": Normed(lambda m, h: m.norm(m.conv(h).transpose(2, 3)).square(), conv=True),
    "along the positions of a linear layer": nn.Sequential(
        nn.Flatten(2), nn.Linear(36, 5), nn.BatchNorm1d(4), nn.Tanh()
    ),
    "of a linear layer": nn.Sequential(
        nn.Flatten(), nn.Linear(144, 5), nn.BatchNorm1d(5), nn.ReLU(inplace=True)
    ),
}
ACTIVATIONS: dict[str, Change] = {
    **{
        kind.__name__: kind() for kind in (nn.GELU, nn.Sigmoid, nn.Tanh, nn.Softsign, nn.Tanhshrink)
    },
    **{kind.__name__: kind() for kind in (nn.Softplus, nn.LogSigmoid, nn.Hardshrink, nn.PReLU)},
    **{
        f"{kind.__name__}{', in place' if in_place else ''}": kind(inplace=in_place)
        for kind in (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.CELU, nn.SELU, nn.SiLU, nn.Mish)
        for in_place in (False, True)
    },
    "Hardswish": nn.Hardswish(),
    "Hardsigmoid": nn.Hardsigmoid(),
    "Threshold": nn.Threshold(0.1, 0.2, inplace=True),
    "GLU": nn.GLU(1),
    "Softmax": nn.Softmax(1),
}
LAYERS: dict[str, Change] = {
    "LayerNorm": nn.LayerNorm([6, 6]),
    "LayerNorm without weights": nn.LayerNorm(6, elementwise_affine=False),
    "torch.layer_norm": lambda h: torch.layer_norm(h, [6]),
    "RMSNorm": nn.RMSNorm([6]),
    "GroupNorm": nn.GroupNorm(2, 4),
    "InstanceNorm": nn.InstanceNorm2d(4, affine=True),
    "LocalResponseNorm": nn.LocalResponseNorm(2),
    "BatchNorm": nn.BatchNorm2d(4),
    "BatchNorm without weights": nn.BatchNorm2d(4, affine=False, track_running_stats=False),
    "torch.batch_norm": lambda h: torch.batch_norm(
        h, None, None, None, None, True, 0.1, 1e-5, False
    ),
    "MaxPool": nn.MaxPool2d(2),
    "AvgPool": nn.AvgPool2d(2),
    "AdaptiveMaxPool": nn.AdaptiveMaxPool2d(2),
    "PixelShuffle": nn.PixelShuffle(2),
    "Upsample": nn.Upsample(scale_factor=2, mode="bilinear"),
    "ReflectionPad": nn.ReflectionPad2d(1),
    "Dropout": nn.Dropout(0.4),
    "Dropout, in place": nn.Dropout(0.4, inplace=True),
    "Dropout2d": nn.Dropout2d(0.4),
    "AlphaDropout": nn.AlphaDropout(0.3),
    "FeatureAlphaDropout": nn.FeatureAlphaDropout(0.3),
    "RReLU": nn.RReLU(),
    "noise": lambda h: h + h * torch.randn_like(h),
    "attention with dropout": lambda h: F.scaled_dot_product_attention(h, h, h, dropout_p=0.3),
    "convolution": nn.Conv2d(4, 4, 3, padding=1, groups=2),
    "circular convolution": nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"),
    "frozen convolution": nn.Conv2d(4, 4, 3).requires_grad_(False),
    "transposed convolution": nn.ConvTranspose2d(4, 4, 2, bias=False),
    "transposed convolution with a bias": nn.ConvTranspose2d(4, 4, 2),
    "spectral norm": spectral_norm(nn.Conv2d(4, 4, 3)),
}
FUNCTIONS: dict[str, Change] = {
    **{f.__name__: f for f in (add_in_place, added_twice, relu_as_a_statement, relu_under_a_view)},
    **{f.__name__: f for f in (relu_of_a_view, partly_overwritten, scaled_by_a_constant)},
    **{f.__name__: f for f in (shared_then_overwritten, gated)},
    "mul_": lambda h: h.mul_(2.0),
    "add_ with alpha": lambda h: h.add_(h * 2, alpha=3),
    "detached": lambda h: h * h.detach(),
    "1 - h": lambda h: 1 - h * h,
    "h / |h|": lambda h: h / (1 + h.abs()),
    "power": lambda h: h**3,
    "where": lambda h: torch.where(h > 0, h, h * h),
    "cat": lambda h: torch.cat(tensors=[h, h * h], dim=1),
    "stack": lambda h: torch.stack([h, h.sin()]).sum(0),
    "max": lambda h: h.max(1).values,
    "topk": lambda h: h.topk(2, dim=1).values,
    "clamp": lambda h: h.clamp(-0.3, 0.4),
    "matmul": lambda h: h.mT @ h,
    "einsum": lambda h: torch.einsum("nchw,nchv->nwv", h, h),
    "normalize": lambda h: F.normalize(h, dim=1),
    "std": lambda h: h / h.std((2, 3), keepdim=True),
    "expand": lambda h: h.mean(1, keepdim=True).expand_as(h) * h,
    "relu by name": lambda h: torch.relu(input=h),
}
NORMALISED = {f"normalised, {name}": change for name, change in NORMED.items()}
OPERATIONS = {**ACTIVATIONS, **LAYERS, **FUNCTIONS, **NORMALISED}
BY_TANGENTS = [
    *NORMALISED,
    "BatchNorm",
    "ReLU, in place",
    "convolution",
    "MaxPool",
]


class Net(nn.Module):
    """An operation between a convolution and a linear layer."""

    def __init__(self, operation: Change) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.operation = operation if isinstance(operation, nn.Module) else None
        self.change = operation
        self.classify = nn.LazyLinear(CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Through all three."""
        out: Tensor = self.classify(self.change(self.conv(x)).flatten(1))
        return out


def net(name: str) -> tuple[nn.Module, tuple[Tensor, Tensor]]:
    """The network of an operation in float64, and its batch."""
    generator = torch.Generator().manual_seed(sum(name.encode()))
    images = normal(3, 6, 6)(generator)
    labels = torch.randint(CLASSES, (len(images),), generator=generator)
    model = Net(OPERATIONS[name])
    with torch.random.fork_rng(devices=[]):
        model.float().eval()(images)
    fill(model, generator)
    return model.train().double(), (images.double(), labels)


CUT_OFF = {"scaled_by_a_constant", "detached"}
"""Their gradient depends on what autograd takes for constant, so a double backward is not its
derivative."""


@pytest.mark.parametrize("name", OPERATIONS)
def test_grasp_is_that_of_a_double_backward_and_the_others_do_not_notice(name: str) -> None:
    model, (images, labels) = net(name)
    others = ["snip", "grad_norm", "fisher", "jacob_cov"]
    scores = score(model, (images, labels), ["grasp", *others])
    case = Case(lambda: model, normal(3, 6, 6), tuple(counted_weights(model)))
    expected = TWINS["grasp"](case, model, images, labels)
    limit = 1e-7 if name == "Hardsigmoid" else 1e-9  # PyTorch's Hardsigmoid has 1/6 in float32
    if name in CUT_OFF:
        assert "the second derivative and differences" in str(scores["grasp"].why)
    else:
        assert scores["grasp"].value == pytest.approx(expected, rel=limit, abs=0)
        assert scores["grasp"].why is None
    without = score(model, (images, labels), others)
    for other in others:
        assert scores[other].value.hex() == without[other].value.hex(), other
        assert scores[other].why == without[other].why


@pytest.mark.parametrize("name", BY_TANGENTS)
def test_these_need_no_double_backward(name: str) -> None:
    model, batch = net(name)
    assert "tangents" in str(explain("grasp", model, batch))


@pytest.mark.parametrize("faster", [True, False])
def test_a_hook_that_changes_a_gradient_is_noticed_by_any_way(faster: bool) -> None:
    class Clipped(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            out = super().forward(x)
            if out.requires_grad:
                out.register_hook(lambda grad: 2 * grad)
            return out

    torch.manual_seed(0)
    model = nn.Sequential(Clipped(6, 9), nn.Tanh(), nn.Linear(9, 4)).double()
    batch = torch.randn(8, 6).double(), torch.arange(8) % 4
    assert "differences" in str(score(model, batch, "grasp", faster=faster)["grasp"].why)


def test_where_tangents_overflow_a_double_backward_is_taken() -> None:
    class Sums(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return torch.logcumsumexp(super().forward(x), 1)[:, -1]

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 9), nn.Tanh(), Sums(9, 4)).double()
    batch = torch.randn(8, 7, 6).double(), torch.arange(8) % 4
    found = [score(model, batch, "grasp", faster=faster)["grasp"] for faster in (True, False)]
    assert found[0].why is None
    assert found[0].value == pytest.approx(found[1].value)
