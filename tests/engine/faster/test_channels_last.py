"""Channels-last images give the same scores, and models that depend on the layout are detected."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foretell import Score, score
from foretell.engine.curvature.normed import Normed, statistics_of
from foretell.engine.faster import channels_last as layout
from foretell.engine.faster.batch_norm import batch_norm
from foretell.engine.faster.channels import Channels, moments
from foretell.proxies import PROXIES
from tests.support.models import CLASSES, MODELS, make

ALL = list(PROXIES)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


@pytest.fixture
def turn(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """A function that turns all images channels-last, of any type and size, or none."""

    def choose(turned: bool) -> None:
        monkeypatch.setattr(layout, "pays", lambda x, *_, **__: turned and x.ndim == 4)

    return choose


@pytest.mark.parametrize("name", MODELS)
def test_every_score_is_the_same_in_both_layouts(name: str, turn: Callable[[bool], None]) -> None:
    model, batch = make(name, torch.float64)
    turn(False)
    plain = score(model, batch, ALL)
    turn(True)
    turned = score(model, batch, ALL)
    assert_same(plain, turned)


@pytest.mark.parametrize("name", MODELS)
def test_torchs_own_normalisation_of_turned_pictures_gives_the_same(
    name: str, turn: Callable[[bool], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """This is what runs on a GPU."""
    model, batch = make(name, torch.float64)
    turn(False)
    plain = score(model, batch, ALL)
    turn(True)
    monkeypatch.setattr(layout, "batch_norm", F.batch_norm)
    assert_same(plain, score(model, batch, ALL))


def assert_same(plain: dict[str, Score], turned: dict[str, Score]) -> None:
    for proxy in ALL:
        assert turned[proxy].value == pytest.approx(plain[proxy].value, rel=1e-8, nan_ok=True)
        assert turned[proxy].why == plain[proxy].why


class Tells(nn.Module):
    """A small network that applies a function to the output of its first convolution."""

    def __init__(self, act: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.classify = nn.Linear(4 * 36, CLASSES)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        """The classes' outputs."""
        found: Tensor = self.classify(self.act(self.norm(self.conv(x))).flatten(1))
        return found


def by_strides(h: Tensor) -> Tensor:
    return h * float(h.stride(1))


def by_order(h: Tensor) -> Tensor:
    return h if h.is_contiguous() else h * 2


def over_what_may_be_a_copy(h: Tensor) -> Tensor:
    F.relu_(h.reshape(len(h), -1))
    return h.tanh()


def over_what_may_be_itself(h: Tensor) -> Tensor:
    h.contiguous().mul_(2.0)
    return h


TELLING = {
    "view": lambda h: h.view(len(h), -1).tanh(),
    "stride": by_strides,
    "is_contiguous": by_order,
    "reshape": over_what_may_be_a_copy,
    "contiguous": over_what_may_be_itself,
    "dropout": lambda h: F.dropout(h, 0.5),
    "rand_like": lambda h: h + torch.rand_like(h),
    "bernoulli_": lambda h: h * torch.empty_like(h).bernoulli_(0.5),
}


@pytest.mark.parametrize("name", TELLING)
def test_a_model_that_can_tell_has_its_own_layout(name: str, turn: Callable[[bool], None]) -> None:
    model = Tells(TELLING[name])
    images, labels = drawn(5, 3, 6, 6).float(), torch.arange(5) % CLASSES
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model.classify.reset_parameters()
    turn(False)
    plain = score(model, (images, labels), ALL)
    turn(True)
    turned = score(model, (images, labels), ALL)
    assert {p: s.value.hex() for p, s in turned.items()} == {
        p: s.value.hex() for p, s in plain.items()
    }


def test_nothing_is_held_on_to_where_no_picture_is_turned() -> None:
    with layout.LayoutGuard(layout.ChannelsLast()) as guard:
        torch.ones(2, 3).reshape(6).contiguous().relu_()
        assert not guard._copies


@pytest.mark.parametrize("held", ["alone", "tuple", "object"])
def test_a_loss_sees_outputs_in_their_own_layout(held: str, turn: Callable[[bool], None]) -> None:
    class Holder:
        def __init__(self, maps: Tensor) -> None:
            self.maps = maps

    class Maps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor) -> object:
            maps = self.conv(x).relu()
            return {"alone": maps, "tuple": (maps,), "object": Holder(maps)}[held]

    def loss(outputs: object, targets: Tensor) -> Tensor:
        maps = {"alone": outputs, "tuple": outputs, "object": outputs}[held]
        maps = maps[0] if held == "tuple" else maps.maps if held == "object" else maps
        return F.cross_entropy(maps.view(len(targets), -1), targets)

    model = Maps()
    with torch.no_grad():
        model.conv.weight.copy_(drawn(4, 3, 3, 3))
    batch = drawn(5, 3, 6, 6).float(), torch.arange(5) % CLASSES
    turn(True)
    turned = score(model, batch, ["snip", "grasp"], loss=loss)
    turn(False)
    plain = score(model, batch, ["snip", "grasp"], loss=loss)
    for proxy, expected in plain.items():
        assert expected.why is None
        assert turned[proxy].value == pytest.approx(expected.value, rel=1e-5)


@pytest.mark.parametrize(("channels", "turned"), [(16, True), (32, False)])
def test_only_networks_that_begin_with_few_channels_are_turned(
    channels: int, turned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(
        layout,
        "batch_norm",
        lambda x, *rest, **more: seen.append(x) or batch_norm(x, *rest, **more),
    )
    body = [nn.Conv2d(3, channels, 3), nn.BatchNorm2d(channels), nn.Conv2d(channels, 64, 3)]
    model = nn.Sequential(*body, nn.BatchNorm2d(64), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    score(model, (torch.ones(4, 3, 8, 8), torch.arange(4)), "grad_norm")
    assert len(seen) == (2 if turned else 0)


@pytest.mark.parametrize("affine", [True, False])
def test_batch_norm_is_that_of_torch_to_the_second_derivative(affine: bool) -> None:
    x = last(drawn(4, 3, 4, 2)).requires_grad_()
    weight, bias = (drawn(3, seed=s).requires_grad_() for s in (1, 2)) if affine else (None, None)
    running = [torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)]
    theirs = [tensor.clone() for tensor in running]
    out = batch_norm(x, *running, weight, bias, True, 0.3, 1e-3)
    expected = F.batch_norm(x, *theirs, weight, bias, True, 0.3, 1e-3)
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(running, theirs)
    given = [x, weight, bias] if affine else [x]

    def run(*tensors: Tensor) -> Tensor:
        scale, shift = tensors[1:] if affine else (None, None)
        return batch_norm(tensors[0], None, None, scale, shift, True, 0.1, 1e-3)

    assert torch.autograd.gradcheck(run, given)
    assert torch.autograd.gradgradcheck(run, given)


@pytest.mark.parametrize("shape", [(4, 3), (2, 5, 7), (4, 3, 4, 2), (3, 5, 3, 3), (2, 3, 2, 2, 2)])
@pytest.mark.parametrize("turned", [False, True])
def test_channels_are_summed_and_spread_in_either_order(
    shape: tuple[int, ...], turned: bool
) -> None:
    x = drawn(*shape)
    x = last(x) if turned and x.ndim == 4 else x
    axes = [0, *range(2, x.ndim)]
    channels = Channels(x)
    flat = channels.flat(x)
    torch.testing.assert_close(channels.sums(flat), x.sum(axes))
    torch.testing.assert_close(channels.means(flat), x.mean(axes))
    factors = drawn(shape[1], seed=1)
    expected = x * factors.view(-1, *[1] * (x.ndim - 2))
    torch.testing.assert_close(channels.shaped(flat * channels.spread(factors)), expected)
    var, mean = moments(x)
    torch.testing.assert_close(var, x.var(axes, correction=0))
    torch.testing.assert_close(mean, x.mean(axes))


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("pushed", [False, True])
@pytest.mark.parametrize("turned", [False, True])
def test_a_normalisations_tangent_and_its_gradient(own: bool, pushed: bool, turned: bool) -> None:
    if not own and not pushed:
        return  # there is no tangent
    x, c = drawn(4, 3, 4, 2), drawn(4, 3, 4, 2, seed=1)
    u = drawn(4, 3, 4, 2, seed=2) if pushed else None
    gamma, eps = drawn(3, seed=3), 0.01
    if turned:
        x, c, u = last(x), last(c), None if u is None else last(u)

    def mean(z: Tensor) -> Tensor:
        return z.mean((0, 2, 3), keepdim=True)

    def tangent(z: Tensor) -> Tensor:
        direction = torch.zeros_like(z) if u is None else u
        direction = direction + z if own else direction
        scale = (z.var((0, 2, 3), correction=0, keepdim=True) + eps).rsqrt()
        there = (z - mean(z)) * scale
        along = direction - mean(direction) - there * mean(there * direction)
        return gamma.view(-1, 1, 1) * scale * along

    normed = Normed(x, gamma, eps)
    torch.testing.assert_close(normed.tangent(u, own), tangent(x))
    z = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad((c * tangent(z)).sum(), z)
    torch.testing.assert_close(normed.gradient(c, u, own), expected)


def test_statistics_are_known_of_either_batch_norm() -> None:
    x = last(drawn(4, 3, 5, 5)).requires_grad_()
    for norm in (batch_norm, F.batch_norm):
        found = statistics_of(
            norm(x, training=True, running_mean=None, running_var=None, eps=1e-9), x
        )
        assert found is not None
        var, mean = moments(x.detach())
        torch.testing.assert_close(found[0], mean)
        torch.testing.assert_close(found[1], var.rsqrt())
    assert statistics_of(x * 2, x) is None
