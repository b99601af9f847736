"""Networks that compute the same, written in different ways, have the same scores, or say why not.

The samples may lie along any axis of what is computed on the way, the weights may be used in any
product: no score may take something else for a sample or leave out a layer without a word.
"""

import copy
import math
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from foretell import Score, score
from foretell.proxies import PROXIES
from tests.support.models import OF_ATTENTION

N, CHANNELS, CLASSES = 8, 6, 4
ALL = [name for name in PROXIES if name not in ("flops", "flops_used", "depth")]
LABELS = torch.arange(N) % CLASSES
ORDER = torch.tensor([2, 7, 4, 0, 6, 1, 3, 5])


def normal(*shape: int) -> Tensor:
    """Numbers from N(0, 1) in float64, always the same."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1)).double()


class OwnRelu(torch.autograd.Function):
    """A ReLU that no observer sees."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clamp_min(0)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return grads[0] * (x > 0)


class Unchanged(torch.autograd.Function):
    """Its own output, out of sight."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x * 1

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return grads[0]


def relu(x: Tensor) -> Tensor:
    """A ReLU that no observer sees, once it is scripted."""
    return torch.relu(x)


with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch advises against scripts
    scripted = torch.jit.script(relu)


with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    traced = torch.jit.trace(lambda x: torch.relu(x) * 1.0, torch.ones(2))


class Recomputed(torch.autograd.Function):
    """A checkpoint of the user's own, whose backward pass runs a part of the network again."""

    @staticmethod
    def forward(ctx: Any, run: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        ctx.run = run
        ctx.save_for_backward(x)
        return run(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor | None]:
        x = ctx.saved_tensors[0].detach().requires_grad_()
        with torch.enable_grad():
            again = ctx.run(x)
        torch.autograd.backward(again, grads[0])
        return None, x.grad


def by_index(x: Tensor) -> Tensor:
    """The mean token of each sample, by the numbers of the samples."""
    places = torch.arange(len(x)).repeat_interleave(x.shape[1])
    return x.new_zeros(len(x), 5).index_add(0, places, x.flatten(0, 1)) / x.shape[1]


class Network(nn.Module):
    """Layers that `how` uses in its own way."""

    def __init__(self, how: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.how = how
        self.first, self.norm = nn.Linear(CHANNELS, 9), nn.LayerNorm(9)
        self.second, self.classify = nn.Linear(9, 5), nn.Linear(5, CLASSES)

    def body(self, x: Tensor) -> Tensor:
        """The same for each token."""
        return torch.relu(self.second(torch.relu(self.norm(self.first(x)))))

    def forward(self, x: Tensor) -> Any:
        """Logits."""
        return self.classify(self.how(self, x))


def assigned(x: Tensor) -> Tensor:
    """A sequence with the time first, written step by step into a tensor of its own."""
    steps = x.new_zeros(x.shape[1], len(x), CHANNELS)
    for step in range(x.shape[1]):
        steps[step] = x[:, step]
    return steps


def by_first_number(x: Tensor) -> Tensor:
    """The order of the samples by a number of theirs."""
    return x[:, 0, 0].argsort()


Way = Callable[[Any, Tensor], Tensor]

KEPT: dict[str, Way] = {
    "sequence first": lambda net, x: net.body(x.transpose(0, 1)).mean(0),
    "sequence first, contiguous": lambda net, x: net.body(x.permute(1, 0, 2).contiguous()).mean(0),
    "folded": lambda net, x: net.body(x.reshape(-1, CHANNELS)).view(len(x), -1, 5).mean(1),
    "folded, sequence first": (
        lambda net, x: net.body(x.transpose(0, 1).reshape(-1, CHANNELS)).view(-1, len(x), 5).mean(0)
    ),
    "one long sequence": (
        lambda net, x: net.body(x.flatten(0, 1)[None])[0].unflatten(0, (len(x), -1)).mean(1)
    ),
    "einsum": lambda net, x: net.body(torch.einsum("ntc->tnc", x)).mean(0),
    "strides": (
        lambda net, x: net.body(x.contiguous().as_strided(
            (x.shape[1], len(x), CHANNELS), (CHANNELS, x.shape[1] * CHANNELS, 1))).mean(0)
    ),
    "steps": lambda net, x: net.body(torch.stack(x.unbind(1))).mean(0),
    "assigned": lambda net, x: net.body(assigned(x)).mean(0),
    "by name": (
        lambda net, x: torch.relu(
            input=net.second(torch.relu(input=net.norm(net.first(x))))).mean(1)
    ),
    "checkpoint": lambda net, x: checkpoint(net.body, x, use_reentrant=False).mean(1),
    "with the shape of a number": (
        lambda net, x: (lambda h: h if h.sum().shape else h.mean(1))(net.body(x))
    ),
    "out of sight": lambda net, x: net.body(Unchanged.apply(x)).mean(1),
    "out of sight, sequence first": (
        lambda net, x: net.body(Unchanged.apply(x.transpose(0, 1))).mean(0)
    ),
}  # fmt: skip
"""Ways in which each tensor has the samples along one axis: `fisher` and `nwot` are defined."""

LOST: dict[str, Way] = {
    "one by one": lambda net, x: torch.stack([net.body(sample) for sample in x]).mean(1),
    "in halves": lambda net, x: torch.cat([net.body(half) for half in x.chunk(2)]).mean(1),
    "in another order": lambda net, x: net.body(x[ORDER])[ORDER.argsort()].mean(1),
    "sorted": lambda net, x: net.body(x[by_first_number(x)])[by_first_number(x).argsort()].mean(1),
    "own activation": lambda net, x: OwnRelu.apply(
        net.second(OwnRelu.apply(net.norm(net.first(x))))
    ).mean(1),
    "scripted activation": lambda net, x: scripted(
        net.second(scripted(net.norm(net.first(x))))
    ).mean(1),
    "traced activation": lambda net, x: traced(net.second(traced(net.norm(net.first(x))))).mean(1),
    "vmap": lambda net, x: torch.func.vmap(net.body)(x).mean(1),
    "recomputed": lambda net, x: Recomputed.apply(
        lambda h: torch.relu(net.second(torch.relu(net.norm(h)))), net.first(x)
    ).mean(1),
    "mean by index": lambda net, x: by_index(net.body(x)),
}
"""Ways in which some scores may have no answer."""


def same_tokens(net: Any, x: Tensor) -> Tensor:
    """The network as it is usually written."""
    return net.body(x).mean(1)


@cache
def scores_of(way: str, steps: int) -> dict[str, Score]:
    """All scores of the network written in one way."""
    torch.manual_seed(0)
    how = {**KEPT, **LOST, "": same_tokens}[way]
    return score(Network(how).double(), (normal(N, steps, CHANNELS), LABELS), ALL)


def check_same(found: dict[str, Score], expected: dict[str, Score], but: set[str]) -> None:
    """Each score is as expected, or it says why it has no value."""
    for name in found.keys() - but:
        if found[name].why is None:
            assert found[name].value == pytest.approx(expected[name].value, rel=1e-8), name


@pytest.mark.parametrize("steps", [N, 12])
@pytest.mark.parametrize("way", [*KEPT, *LOST])
def test_the_samples_may_be_anywhere(way: str, steps: int) -> None:
    found = scores_of(way, steps)
    check_same(found, scores_of("", steps), but=set())
    if way in KEPT:
        needed = {"fisher", "snip", "near", "d8", "meco"}
        needed |= set() if way.startswith("out of sight") else {"nwot", "swap", "rmin"}
        assert not {name: found[name].why for name in needed if found[name].why}


@pytest.mark.parametrize("way", ["sequence first", "folded, sequence first", "assigned"])
def test_parts_of_a_batch_have_the_samples_anywhere_too(way: str) -> None:
    torch.manual_seed(0)
    model, batch = Network(KEPT[way]).double(), (normal(N, 12, CHANNELS), LABELS)
    names = ["fisher", "nwot", "rmin", "meco", "near"]
    found = score(model, batch, names, micro_batch=3)
    assert not {name: one.why for name, one in found.items() if one.why}
    check_same(found, scores_of("", 12), but=set())


def test_rows_in_an_order_of_their_own_are_no_samples() -> None:
    """Sorted by their values, rows stay in their places whatever the order of the samples."""

    class Sorted(Network):
        def forward(self, x: Tensor) -> Any:
            order = by_first_number(x)
            tokens = self.norm(self.first(torch.relu(x)))
            return self.classify(torch.relu(self.second(torch.relu(tokens[order]))).mean(1))

    found = score(Sorted(same_tokens).double(), (normal(N, 5, CHANNELS), LABELS), ["nwot", "rmin"])
    assert "cannot be divided among" in str(found["nwot"].why)


class Views(nn.Module):
    """Two inputs through one backbone: one after the other, or joined along the samples."""

    def __init__(self, *, joined: bool) -> None:
        super().__init__()
        self.joined = joined
        self.conv, self.classify = nn.Conv2d(3, 6, 3, padding=1), nn.Linear(12, CLASSES)

    def body(self, x: Tensor) -> Tensor:
        return torch.relu(self.conv(x)).mean((2, 3))

    def forward(self, first: Tensor, second: Tensor) -> Any:
        """Logits."""
        if self.joined:
            parts = self.body(torch.cat([first, second])).chunk(2)
        else:
            parts = self.body(first), self.body(second)
        return self.classify(torch.cat(parts, 1))


def test_views_joined_along_the_samples() -> None:
    images = normal(N, 3, 8, 8)
    found = []
    for joined in (True, False):
        torch.manual_seed(0)
        batch = (images, images.flip(0) / 2), LABELS
        found.append(score(Views(joined=joined).double(), batch, ALL))
    assert found[0]["nwot"].value == pytest.approx(found[1]["nwot"].value)
    assert "joined along the samples" in str(found[0]["fisher"].why)
    check_same(*found, but={"zen", "meco", "meco_opt", "wrcor"})  # fewer activations


RECURRENT: dict[str, Callable[[], nn.RNNBase]] = {
    "lstm": lambda: nn.LSTM(CHANNELS, 5),
    "gru": lambda: nn.GRU(CHANNELS, 5, batch_first=True),
    "layers": lambda: nn.LSTM(CHANNELS, 5, num_layers=2, proj_size=3),
    "both directions": lambda: nn.GRU(CHANNELS, 5, num_layers=2, bidirectional=True),
}


class LastStep(nn.Module):
    """A recurrent layer of which the last output is read, or the same as the state returned."""

    def __init__(self, make: Callable[[], nn.RNNBase], *, by_state: bool) -> None:
        super().__init__()
        self.recurrent, self.by_state = make(), by_state
        self.width = self.recurrent.proj_size or self.recurrent.hidden_size
        directions = 1 + self.recurrent.bidirectional
        self.classify = nn.Linear(self.width * directions, CLASSES)

    def forward(self, x: Tensor) -> Any:
        """Logits."""
        batch_first = self.recurrent.batch_first
        output, states = self.recurrent(x if batch_first else x.transpose(0, 1))
        if self.by_state:
            states = states[0] if isinstance(states, tuple) else states
            last = (
                torch.cat(states[-2:].unbind(), 1) if self.recurrent.bidirectional else states[-1]
            )
        else:
            steps = output.transpose(0, 1) if batch_first else output
            last = torch.cat([steps[-1, :, : self.width], steps[0, :, self.width :]], 1)
        return self.classify(torch.relu(last))


@pytest.mark.parametrize("name", RECURRENT)
def test_the_last_output_may_be_read_as_a_state(name: str) -> None:
    found = []
    for by_state in (True, False):
        torch.manual_seed(0)
        model = LastStep(RECURRENT[name], by_state=by_state).double()
        found.append(score(model, (normal(N, N, CHANNELS), LABELS), ["fisher", "snip", "near"]))
    assert found[0]["fisher"].why is None
    check_same(*found, but=set())


Product = Callable[[Tensor, Tensor], Tensor]

PRODUCTS: dict[str, Product] = {
    "x @ w.T": lambda x, w: x @ w.T,
    "left": lambda x, w: (w @ x.T).T,
    "left of each": lambda x, w: (w @ x[..., None])[..., 0],
    "matmul": lambda x, w: x.matmul(w.mT),
    "linalg.matmul": lambda x, w: torch.linalg.matmul(x, w.t()),
    "by name": lambda x, w: torch.mm(input=x, mat2=w.t()),
    "rmatmul": lambda x, w: w.t().__rmatmul__(x),
    "addmm": lambda x, w: torch.addmm(x.new_zeros(9), x, w.t()),
    "addmm_": lambda x, w: x.new_zeros(len(x), 9).addmm_(x, w.t()),
    "baddbmm": lambda x, w: torch.baddbmm(x.new_zeros(1, 1, 9), x[None], w.t()[None])[0],
    "bmm": lambda x, w: torch.bmm(x[None], w.t()[None])[0],
    "one for each": lambda x, w: torch.bmm(x[:, None], w.t().expand(len(x), -1, -1))[:, 0],
    "einsum": lambda x, w: torch.einsum("ni,oi->no", x, w),
    "einsum, turned": lambda x, w: torch.einsum("oi,ni->on", w, x).T,
    "einsum with dots": lambda x, w: torch.einsum("...i,oi->...o", x, w),
    "einsum by numbers": lambda x, w: torch.einsum(x, [0, 1], w, [2, 1], [0, 2]),
    "tensordot": lambda x, w: torch.tensordot(x, w, ([1], [1])),
    "inner": lambda x, w: torch.inner(x, w),
    "multi_dot": lambda x, w: torch.linalg.multi_dot([x, torch.eye(6, dtype=x.dtype), w.t()]),
    "chain_matmul": lambda x, w: torch.chain_matmul(x, torch.eye(6, dtype=x.dtype), w.t()),
    "computed weight": lambda x, w: F.linear(x, w * 1.0),
    "cloned weight": lambda x, w: F.linear(x, w.clone()),
    "contiguous weight": lambda x, w: x @ w.t().contiguous(),
    "masked weight": lambda x, w: F.linear(x, w * torch.ones_like(w)),
    "weight in pieces": lambda x, w: F.linear(x, torch.cat([w[:4], w[4:]])),
    "factors": lambda x, w: F.linear(x, torch.eye(9, dtype=w.dtype) @ w),
    "convolution": lambda x, w: F.conv1d(x[..., None], w[..., None])[..., 0],
    "transposed convolution": lambda x, w: F.conv_transpose1d(x[..., None], w.t()[..., None])[
        ..., 0
    ],
    "bilinear": lambda x, w: F.bilinear(x, x.new_ones(len(x), 1), w[..., None]),
    "sparse weight": lambda x, w: torch.sparse.mm(w.to_sparse(), x.T).T,
    "aten": lambda x, w: torch.ops.aten.mm(x, w.t()),
    "aten.linear": lambda x, w: torch.ops.aten.linear(x, w),
}
"""Products that have the outputs of a linear layer: every score is defined."""

OTHER_PRODUCTS: dict[str, tuple[Product, str]] = {
    "mv": (lambda x, w: torch.stack([torch.mv(w, row) for row in x]), "divided among the 8"),
    "sum": (lambda x, w: (x[:, None] * w).sum(-1), "`mul` uses the weight product.weight"),
    "columns": (
        lambda x, w: torch.stack([(x * row).sum(-1) for row in w], -1),
        "`mul` uses the weight product.weight",
    ),
    "halves": (
        lambda x, w: x[:, :3] @ w.t()[:3] + F.linear(x[:, 3:], w[:, 3:]),
        "each sum over some of its inputs only",
    ),
    "distance": (
        lambda x, w: (x.square().sum(1)[:, None] + w.square().sum(1) - torch.cdist(x, w) ** 2) / 2,
        "`cdist` uses the weight product.weight",
    ),
    "vmap": (lambda x, w: torch.func.vmap(lambda row: w @ row)(x), "uses the weight product"),
}
"""Others that have these outputs, and why `fisher` is undefined."""


class Multiplied(nn.Module):
    """A product with a weight of its own."""

    def __init__(self, product: Product) -> None:
        super().__init__()
        self.weight, self.product = nn.Parameter(torch.randn(9, CHANNELS) / 3), product

    def forward(self, x: Tensor) -> Tensor:
        """`[N, 9]`."""
        return self.product(x, self.weight)


class OfProduct(nn.Module):
    """A network with such a layer."""

    def __init__(self, product: Product) -> None:
        super().__init__()
        self.product, self.classify = Multiplied(product), nn.Linear(9, CLASSES)

    def forward(self, x: Tensor) -> Any:
        """Logits."""
        return self.classify(torch.relu(self.product(x)))


@cache
def scores_of_product(product: Product) -> dict[str, Score]:
    """All scores of a network with such a layer."""
    torch.manual_seed(0)
    return score(OfProduct(product).double(), (normal(N, CHANNELS), LABELS), ALL)


@pytest.mark.parametrize("name", [*PRODUCTS, *OTHER_PRODUCTS])
def test_a_weight_counts_in_whatever_product_it_is(name: str) -> None:
    other = OTHER_PRODUCTS.get(name)
    found = scores_of_product(other[0] if other else PRODUCTS[name])
    expected = scores_of_product(F.linear)
    check_same(found, expected, but=set())
    if other:
        assert other[1] in str(found["fisher"].why)
        assert found["snip"].why is None
    else:
        assert {n for n, one in found.items() if one.why} == {
            n for n, one in expected.items() if one.why
        }


class Spectral(nn.Module):
    """A layer of complex numbers, between a Fourier transform and its inverse."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(CHANNELS, 5, 4) / 3)
        self.classify = nn.Linear(5, CLASSES)

    def forward(self, x: Tensor) -> Any:
        """Logits."""
        spectrum = torch.einsum("nif,iof->nof", torch.fft.rfft(x), self.weight + 0j)
        return self.classify(torch.relu(torch.fft.irfft(spectrum, n=6)).mean(2))


def test_the_channels_of_a_complex_layer_are_not_taken_for_real_ones() -> None:
    torch.manual_seed(0)
    names = ["fisher", "near", "d8", "snip"]
    found = score(Spectral().double(), (normal(N, CHANNELS, 6), LABELS), names)
    for name in ("fisher", "near", "d8"):
        assert "is complex, and only that of real channels is defined" in str(found[name].why)
    assert found["snip"].why is None


ON_TOKENS: dict[str, tuple[Product, str]] = {
    "linear": (F.linear, ""),
    "einsum": (lambda x, w: torch.einsum("nti,oi->nto", x, w), ""),
    "sum": (lambda x, w: (x[:, :, None] * w).sum(-1), "`mul` uses the weight"),
    "vecdot": (lambda x, w: torch.linalg.vecdot(x[:, :, None], w), "uses the weight"),
    "each vector": (
        lambda x, w: torch.stack([torch.stack([w @ token for token in one]) for one in x]),
        "cannot be divided among",
    ),
}
"""Products of tokens, and why scores of the outputs of layers are undefined."""


class OfTokens(OfProduct):
    """A network of tokens with such a layer."""

    def forward(self, x: Tensor) -> Any:
        """Logits."""
        return self.classify(torch.relu(self.product(x)).mean(1))


@pytest.mark.parametrize("name", ON_TOKENS)
def test_no_layer_is_left_out_without_a_word(name: str) -> None:
    found = []
    for product in (ON_TOKENS[name][0], F.linear):
        torch.manual_seed(0)
        model = OfTokens(product).double()
        found.append(score(model, (normal(N, 12, CHANNELS), LABELS), ["near", "d8", "fisher"]))
    check_same(*found, but=set())
    for one in found[0].values():
        assert ON_TOKENS[name][1] in (one.why or "")


BIASED: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "after": lambda x, w, b: x @ w.T + b,
    "before": lambda x, w, b: b + x @ w.T,
    "in place": lambda x, w, b: (x @ w.T).add_(b),
    "for each sample": lambda x, w, b: F.linear(x, w) + b[None],
    "with the product": lambda x, w, b: torch.addmm(b, x, w.t()),
    "of channels": lambda x, w, b: (F.conv1d(x[..., None], w[..., None]) + b[:, None])[..., 0],
}
"""Ways to add a bias to the outputs of a layer."""


@pytest.mark.parametrize("way", BIASED)
def test_the_output_of_a_layer_has_its_bias_however_it_is_added(way: str) -> None:
    found = []
    for add in (BIASED[way], F.linear):
        torch.manual_seed(0)
        layers = nn.Linear(CHANNELS, 9), nn.ReLU(), nn.Linear(9, CLASSES)
        model = nn.Sequential(*layers).double()
        model[0].forward = lambda x, first=model[0], add=add: add(x, first.weight, first.bias)
        found.append(score(model, (normal(30, CHANNELS), torch.arange(30) % CLASSES), ALL))
    assert not {name: found[0][name].why for name in ("fisher", "near") if found[0][name].why}
    check_same(*found, but=set())


def channels(b: Tensor) -> Tensor:
    """A bias that is broadcast over the samples and positions of a map."""
    return b.view(1, -1, 1, 1)


BIASED_MAPS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "after": lambda y, b: y + channels(b),
    "before": lambda y, b: b[:, None, None] + y,
    "in place": lambda y, b: y.add_(channels(b)),
    "minus": lambda y, b: y - channels(-b),
    "minus, in place": lambda y, b: y.sub_(channels(-b)),
    "addcmul": lambda y, b: torch.addcmul(y, channels(b), b.new_full((1,), 0.5), value=2),
    "by name": lambda y, b: torch.add(input=y, other=channels(b) * 2, alpha=0.5),
    "as a map": lambda y, b: y + channels(b).expand(y.shape),
    "in two steps": lambda y, b: y + channels(b / 4) + channels(b * 3 / 4),
    "channels last": lambda y, b: (y.permute(0, 2, 3, 1) + b).movedim(3, 1),
    "flat": lambda y, b: (y.flatten(2) + b[:, None]).view(y.shape),
    "in heads": lambda y, b: (
        y.unflatten(1, (2, -1)) + b.view(2, -1, 1, 1)).flatten(1, 2),
    "of a copy": lambda y, b: y.clone() + channels(b),
    "its shape is read": lambda y, b: y + channels(b) if y.dim() == 4 and y.detach().ndim else y,
}  # fmt: skip
"""Ways to add a bias to a map that a convolution returned: every score is that of `nn.Conv2d`."""


class Convolutions(nn.Module):
    """Convolutions whose biases `add` adds; the convolutions themselves if it is None."""

    def __init__(self, add: Callable[[Tensor, Tensor], Tensor] | None) -> None:
        super().__init__()
        self.add = add
        self.activation: Callable[[Tensor], Tensor] = torch.relu
        self.first, self.norm = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.second, self.classify = nn.Conv2d(6, 6, 3, padding=1), nn.Linear(6, CLASSES)
        nn.init.normal_(self.first.bias)  # type: ignore[arg-type]
        nn.init.normal_(self.second.bias)  # type: ignore[arg-type]

    def convolved(self, conv: nn.Conv2d, x: Tensor) -> Tensor:
        """The output of a convolution with its bias."""
        if self.add is None or conv.bias is None:
            return conv(x)
        return self.add(F.conv2d(x, conv.weight, padding=1), conv.bias)

    def forward(self, x: Tensor) -> Any:
        """Logits."""
        x = self.activation(self.norm(self.convolved(self.first, x)))
        return self.classify(torch.relu(self.convolved(self.second, x)).mean((2, 3)))


@cache
def scores_of_convolutions(way: str) -> dict[str, Score]:
    """All scores of convolutions whose biases are added in this way."""
    torch.manual_seed(0)
    model = Convolutions({**BIASED_MAPS, **OTHER_SUMS}.get(way)).double()
    return score(model, (normal(N, 3, 6, 6), LABELS), ALL)


@pytest.mark.parametrize("way", BIASED_MAPS)
def test_a_bias_of_maps_is_part_of_the_layer_however_it_is_added(way: str) -> None:
    found, expected = scores_of_convolutions(way), scores_of_convolutions("")
    module_wise = {"meco", "meco_opt"}  # F.conv2d is no module
    check_same(found, expected, but=module_wise)
    undefined = {name for name, one in found.items() if one.why and not expected[name].why}
    assert not undefined - module_wise


class ByPoints(nn.Module):
    """Layers of single positions, on maps whose channels come second or last."""

    def __init__(self, *, last: bool) -> None:
        super().__init__()
        self.last = last
        self.first, self.second = nn.Linear(3, 6), nn.Linear(6, 5)
        self.classify = nn.Linear(5, CLASSES)

    def layer(self, linear: nn.Linear, x: Tensor) -> Tensor:
        """The layer as a product with the last axis, or as a convolution."""
        if self.last:
            return torch.relu(linear(x))
        return torch.relu(F.conv2d(x, linear.weight[..., None, None], linear.bias))

    def forward(self, x: Tensor) -> Any:
        """Logits."""
        x = self.layer(self.second, self.layer(self.first, x.movedim(1, -1) if self.last else x))
        return self.classify(x.mean((1, 2) if self.last else (2, 3)))


def test_the_same_rows_are_drawn_wherever_the_channels_are() -> None:
    found = []
    for last in (True, False):
        torch.manual_seed(0)
        model = ByPoints(last=last).double()
        found.append(score(model, (normal(N, 3, 5, 7), LABELS), ["near", "rmin", "d8", "fisher"]))
    assert found[0]["near"].why is None
    check_same(*found, but=set())


def stacked_sum(y: Tensor, b: Tensor) -> Tensor:
    """A sum in another form, of which no term is the output of the layer."""
    return torch.stack([y, channels(b).expand(y.shape)]).sum(0)


OTHER_SUMS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "stacked": stacked_sum,
    "two biases": lambda y, b: (y + channels(b)) / 2 + (y + channels(b)) / 2,
    "used as well": lambda y, b: y + channels(b) + y * 0,
    "used before": lambda y, b: y * 0 + (y + channels(b)),
    "of positions": lambda y, b: (
        y + (places := torch.linspace(-1, 1, 6, dtype=y.dtype)) + channels(b) - places),
}  # fmt: skip
"""What is added here is not a bias of the layer, since its output is used elsewhere as well."""


@pytest.mark.parametrize("way", OTHER_SUMS)
def test_what_is_added_to_an_output_that_is_used_twice_is_not_its_bias(way: str) -> None:
    found = scores_of_convolutions(way)
    check_same(found, scores_of_convolutions("stacked"), but=set())
    assert found["near"].value != pytest.approx(scores_of_convolutions("")["near"].value)


ATEN = torch.ops.aten
ONES = [1, 1]
USUAL: dict[str, Callable[..., Tensor]] = {
    "conv": lambda x, w, b: F.conv2d(x, w, b, padding=1),
    "batch_norm": lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True),
    "layer_norm": lambda x, w, b: F.layer_norm(x, x.shape[-1:], w, b),
    "relu": F.relu,
    "pool": lambda x: x.mean((2, 3)),
}
"""The operations of a network, as they are usually called."""

OTHERWISE: dict[str, tuple[str, Callable[..., Tensor]]] = {
    "aten.conv2d": ("conv", lambda x, w, b: ATEN.conv2d(x, w, b, ONES, ONES)),
    "aten.batch_norm": ("batch_norm", lambda x, w, b: ATEN.batch_norm(
        x, w, b, None, None, True, 0.1, 1e-5, True)),
    "torch.batch_norm": ("batch_norm", lambda x, w, b: torch.batch_norm(
        x, w, b, None, None, True, 0.1, 1e-5, True)),
    "aten.layer_norm": ("layer_norm", lambda x, w, b: ATEN.layer_norm(x, x.shape[-1:], w, b)),
    "aten.relu": ("relu", ATEN.relu.default),
    "aten.threshold": ("relu", lambda x: ATEN.threshold(x, 0.0, 0.0)),
    "maximum": ("relu", lambda x: torch.maximum(x, torch.zeros_like(x))),
    "fmax": ("relu", lambda x: torch.fmax(x.new_zeros(()), x)),
    "clamp by a tensor": ("relu", lambda x: x.clamp(min=x.new_zeros(x.shape[-1]))),
    "where": ("relu", lambda x: torch.where(x > 0, x, 0.0)),
    "masked": ("relu", lambda x: x * (x > 0)),
    "masked by numbers": ("relu", lambda x: (x >= 0).to(x.dtype) * x),
    "masked_fill": ("relu", lambda x: x.masked_fill(x.lt(0), 0.0)),
    "aten.adaptive_avg_pool2d": ("pool", lambda x: ATEN.adaptive_avg_pool2d(x, ONES).flatten(1)),
    "aten.mean": ("pool", lambda x: ATEN.mean.dim(x, [2, 3])),
    "sum": ("pool", lambda x: x.sum((2, 3)) / 36),
}  # fmt: skip
"""Other ways to call one of them: every score is defined."""

INTERNAL: dict[str, tuple[str, Callable[..., Tensor]]] = {
    "convolution": ("conv", lambda x, w, b: torch.convolution(
        x, w, b, ONES, ONES, ONES, False, [0, 0], 1)),
    "native_batch_norm": ("batch_norm", lambda x, w, b: torch.native_batch_norm(
        x, w, b, None, None, True, 0.1, 1e-5)[0]),
    "native_layer_norm": ("layer_norm", lambda x, w, b: torch.native_layer_norm(
        x, x.shape[-1:], w, b, 1e-5)[0]),
    "_adaptive_avg_pool2d": ("pool", lambda x: ATEN._adaptive_avg_pool2d(x, ONES).flatten(1)),
}  # fmt: skip
"""Operations that torch runs inside of these: some scores say that they do not follow them."""


class Written(nn.Module):
    """A network of these operations."""

    def __init__(self, **ways: Callable[..., Tensor]) -> None:
        super().__init__()
        self.ways = {**USUAL, **ways}
        self.conv, self.batch_norm = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6)
        self.linear, self.layer_norm = nn.Linear(6, 8), nn.LayerNorm(8)
        self.classify = nn.Linear(8, CLASSES)

    def run(self, name: str, x: Tensor, layer: Any) -> Tensor:
        """One of the operations with its parameters."""
        return self.ways[name](x, layer.weight, layer.bias)

    def forward(self, x: Tensor) -> Any:
        """Logits."""
        x = self.run("batch_norm", self.run("conv", x, self.conv), self.batch_norm)
        x = self.linear(self.ways["pool"](self.ways["relu"](x)))
        return self.classify(self.ways["relu"](self.run("layer_norm", x, self.layer_norm)))


BY_OPERATIONS = [
    *("snip", "grasp", "fisher", "synflow", "jacob_cov", "zen", "nwot", "swap", "rmin", "rd8"),
    *("d8", "near", "wrcor", "intrain"),
]


@cache
def scores_of_written(name: str) -> dict[str, Score]:
    """The scores that look at operations, of a network in which one of them is called otherwise."""
    torch.manual_seed(0)
    ways = dict([(OTHERWISE | INTERNAL)[name]] if name else [])
    return score(Written(**ways).double(), (normal(N, 3, 6, 6), LABELS), BY_OPERATIONS)


@pytest.mark.parametrize("name", OTHERWISE | INTERNAL)
def test_an_operation_counts_however_it_is_called(name: str) -> None:
    found, expected = scores_of_written(name), scores_of_written("")
    check_same(found, expected, but=set())
    if name in OTHERWISE:
        assert not {n: one.why for n, one in found.items() if one.why and not expected[n].why}
    assert found["snip"].why is found["jacob_cov"].why is None


def half_of_erf(x: Tensor) -> Tensor:
    """GELU, in the order of its formula."""
    return x * 0.5 * (1.0 + torch.erf(x / math.sqrt(2.0)))


def of_powers(x: Tensor) -> Tensor:
    """The approximation of GELU of language models."""
    inner = math.sqrt(2 / math.pi) * (x + 0.044715 * torch.pow(x, 3.0))
    return 0.5 * x * (1.0 + torch.tanh(inner))


def emptied(x: Tensor) -> Tensor:
    """A ReLU by an assignment."""
    y = x.clone()
    y[y < 0] = 0
    return y


def tanh_gelu(x: Tensor) -> Tensor:
    """The same by one operation."""
    return F.gelu(x, approximate="tanh")


WRITTEN_OUT: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "half of x + |x|": (torch.relu, lambda x: (x + x.abs()) / 2),
    "sign": (torch.relu, lambda x: x * (1 + x.sign()) / 2),
    "x minus its minimum": (torch.relu, lambda x: x - x.clamp(max=0)),
    "minus a minimum": (torch.relu, lambda x: -torch.minimum(-x, torch.zeros_like(x))),
    "twice of the half": (torch.relu, lambda x: 2 * torch.relu(x / 2)),
    "root of a square": (torch.relu, lambda x: 0.5 * (x + torch.sqrt(x * x))),
    "assignment": (torch.relu, emptied),
    "masked_fill_": (torch.relu, lambda x: x.clone().masked_fill_(x < 0, 0)),
    "a slope": (lambda x: F.leaky_relu(x, 0.1), lambda x: torch.max(x, 0.1 * x)),
    "two slopes": (lambda x: F.leaky_relu(x, 0.2), lambda x: 0.6 * x + 0.4 * x.abs()),
    "x times a sigmoid": (F.silu, lambda x: x * torch.sigmoid(x)),
    "over 1 + exp": (F.silu, lambda x: x / (1 + torch.exp(-x))),
    "x times a tanh": (F.silu, lambda x: x * 0.5 * (1 + torch.tanh(x / 2))),
    "of a scaled input": (F.silu, lambda x: (x * 1.0) * torch.sigmoid(x * 1.0)),
    "addcmul": (F.silu, lambda x: torch.addcmul(torch.zeros_like(x), x, torch.sigmoid(x))),
    "erf": (F.gelu, half_of_erf),
    "erfc": (F.gelu, lambda x: x * torch.special.erfc(-x / math.sqrt(2)) / 2),
    "powers": (tanh_gelu, of_powers),
    "relu6": (F.hardswish, lambda x: x * F.relu6(x + 3) / 6),
    "tanh of softplus": (F.mish, lambda x: x * torch.tanh(F.softplus(x))),
    "log of 1 + exp": (F.softplus, lambda x: torch.log(1 + torch.exp(x))),
    "exp below": (F.elu, lambda x: torch.where(x > 0, x, torch.exp(x) - 1)),
    "a sigmoid by exp": (torch.sigmoid, lambda x: 1 / (1 + torch.exp(-x))),
    "a tanh by sigmoid": (torch.tanh, lambda x: 2 * torch.sigmoid(2 * x) - 1),
}
"""Activation functions, and the same functions written out: every score has the same value."""


@cache
def scores_of_activation(way: str, *, written: bool) -> dict[str, Score]:
    """All scores of a network with this activation, and ReLU elsewhere."""
    torch.manual_seed(0)
    model = Convolutions(None).double()
    model.activation = WRITTEN_OUT[way][written]
    return score(model, (normal(N, 3, 6, 6), LABELS), ALL)


@pytest.mark.parametrize("way", WRITTEN_OUT)
def test_an_activation_counts_however_it_is_written(way: str) -> None:
    found, expected = (scores_of_activation(way, written=one) for one in (True, False))
    flows = {"synflow", "synflow_bn", "synflow_reference"}  # no rule beyond the range of floats
    differing = {name for name, one in found.items() if one.why and not expected[name].why}
    assert differing <= flows
    check_same(found, expected, but=set())


APART: dict[str, Callable[[Tensor], Tensor]] = {
    "something in between": lambda x: (
        lambda gate: (torch.cat([x, x]).chunk(2)[0] + x * gate - x))(torch.sigmoid(x)),
    "in place": lambda x: x * F.relu6(x + 3, inplace=True) / 6,
}  # fmt: skip


@pytest.mark.parametrize("way", APART)
def test_an_activation_that_is_not_recognised_has_a_reason(way: str) -> None:
    torch.manual_seed(0)
    model = Convolutions(None).double()
    model.activation = APART[way]
    found = score(model, (normal(N, 3, 6, 6), LABELS), ["nwot", "near", "rmin", "intrain", "snip"])
    assert found.pop("snip").why is None
    for one in found.values():
        assert "is written out" in str(one.why)


def test_two_activations_in_a_row_are_two() -> None:
    found = []
    for twice in (True, False):
        torch.manual_seed(0)
        model = Convolutions(None).double()
        model.activation = lambda x, twice=twice: torch.relu(torch.relu(x)) if twice else x.relu()
        found.append(score(model, (normal(N, 3, 6, 6), LABELS), ["nwot"])["nwot"].value)
    assert found[0] != pytest.approx(found[1])


def layer_norm_of(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    """A layer normalisation by its formula."""
    mean = x.mean(-1, keepdim=True)
    variance = ((x - mean) ** 2).mean(-1, keepdim=True)
    return (x - mean) / torch.sqrt(variance + 1e-5) * w + b


def layer_norm_of_deviations(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    """The same by `var_mean`."""
    variance, mean = torch.var_mean(x, -1, correction=0, keepdim=True)
    return w * ((x - mean) * (variance + 1e-5).rsqrt()) + b


def rms_norm_of(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    """A normalisation by the root of the mean square."""
    return w * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))


def batch_norm_of(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    """A batch normalisation by its formula."""
    mean, axes = x.mean((0, 2, 3), keepdim=True), (0, 2, 3)
    variance = x.var(axes, unbiased=False, keepdim=True)
    return (x - mean) / (variance + 1e-5).sqrt() * channels(w) + channels(b)


def softmax_of(x: Tensor) -> Tensor:
    """A softmax by its formula."""
    shares = torch.exp(x - x.amax(-1, keepdim=True))
    return shares / shares.sum(-1, keepdim=True)


def rms_norm(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    """The usual one."""
    return F.rms_norm(x, x.shape[-1:], w, 1e-6)


def mean_by_product(x: Tensor) -> Tensor:
    """The mean token by a product with a constant."""
    return (x.mT @ x.new_full((x.shape[1], 1), 1 / x.shape[1]))[..., 0]


TOKENS: dict[str, Callable[..., Tensor]] = {
    "batch_norm": lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True),
    "layer_norm": lambda x, w, b: F.layer_norm(x, x.shape[-1:], w, b),
    "rms_norm": rms_norm,
    "softmax": lambda x: x.softmax(-1),
    "mean": lambda x: x.mean(1),
}
"""The operations of a transformer of patches, as they are usually called."""

BY_FORMULA: dict[str, tuple[str, Callable[..., Tensor]]] = {
    "layer norm": ("layer_norm", layer_norm_of),
    "layer norm by var_mean": ("layer_norm", layer_norm_of_deviations),
    "rms norm": ("rms_norm", rms_norm_of),
    "batch norm": ("batch_norm", batch_norm_of),
    "softmax": ("softmax", softmax_of),
    "exp of log_softmax": ("softmax", lambda x: x.log_softmax(-1).exp()),
    "sum over the number": ("mean", lambda x: x.sum(1) / x.shape[1]),
    "sum times a share": ("mean", lambda x: x.sum(1) * (1 / x.shape[1])),
    "einsum": ("mean", lambda x: torch.einsum("ntc->nc", x) / x.shape[1]),
    "product": ("mean", mean_by_product),
}

UNSEEN: dict[str, set[str]] = {
    "batch norm": {"zen"},
    "product": {"zen"},
    "softmax": {"synflow", "w_pca", *OF_ATTENTION},
    "exp of log_softmax": {"synflow", "w_pca", *OF_ATTENTION},
}
"""The scores that say that they do not see it; all others have the same value."""


class Patches(nn.Module):
    """A transformer of patches, of these operations."""

    def __init__(self, **ways: Callable[..., Tensor]) -> None:
        super().__init__()
        self.ways = {**TOKENS, **ways}
        self.conv, self.batch_norm = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6)
        self.layer_norm, self.rms_norm = nn.LayerNorm(6), nn.LayerNorm(6)
        self.query, self.key, self.value = (nn.Linear(6, 6) for _ in range(3))
        self.up, self.down, self.classify = nn.Linear(6, 12), nn.Linear(12, 6), nn.Linear(6, 4)

    def norm(self, name: str, x: Tensor) -> Tensor:
        """A normalisation with its own weights."""
        layer: Any = getattr(self, name)
        return self.ways[name](x, layer.weight, layer.bias)

    def forward(self, x: Tensor) -> Any:
        """Logits."""
        x = torch.relu(self.norm("batch_norm", self.conv(x))).flatten(2).mT
        y = self.norm("layer_norm", x)
        shares = self.ways["softmax"](self.query(y) @ self.key(y).mT / 6**0.5)
        x = x + shares @ self.value(y)
        x = x + self.down(F.gelu(self.up(self.norm("rms_norm", x))))
        return self.classify(self.ways["mean"](x))


@cache
def scores_of_patches(way: str) -> dict[str, Score]:
    """All scores of this network, of which an operation is written by its formula."""
    torch.manual_seed(0)
    ways = dict([BY_FORMULA[way]] if way else [])
    return score(Patches(**ways).double(), (normal(N, 3, 6, 6), LABELS), ALL)


def test_an_attention_whose_softmax_is_written_out_is_not_left_out() -> None:
    class Twice(Patches):
        def forward(self, x: Tensor) -> Any:
            tokens = self.conv(x).flatten(2).mT
            query, key = self.query(tokens), self.key(tokens)
            tokens = softmax_of(query @ key.mT) @ tokens
            return self.classify((query @ key.mT).softmax(-1) @ self.value(tokens)).mean(1)

    found = score(Twice().double(), (normal(N, 3, 6, 6), LABELS), ["attention_confidence", "snip"])
    assert "may be an attention that is written out" in str(found["attention_confidence"].why)
    assert found["snip"].why is None


@pytest.mark.parametrize("turned", [False, True])
def test_queries_keys_and_values_may_be_parts_of_one_weight(turned: bool) -> None:
    class Parts(Network):
        def forward(self, x: Tensor) -> Any:
            each = self.joint.t().chunk(3) if turned else self.joint.chunk(3)
            query, key, value = (F.linear(x, w) for w in each)
            return self.classify(F.scaled_dot_product_attention(query, key, value)[..., :5].mean(1))

    model = Parts(same_tokens)
    model.joint = nn.Parameter(torch.randn((6, 18) if turned else (18, 6)))
    found = score(model.double(), (normal(N, N, CHANNELS), LABELS), ["near", "fisher"])
    assert not {name: one.why for name, one in found.items() if one.why}


@pytest.mark.parametrize("way", BY_FORMULA)
def test_an_operation_counts_however_its_formula_is_written(way: str) -> None:
    found, expected = scores_of_patches(way), scores_of_patches("")
    check_same(found, expected, but=set())
    unseen = {name for name, one in found.items() if one.why and not expected[name].why}
    assert unseen == UNSEEN.get(way, set())


PARAMETRIZED: dict[str, Callable[[nn.Module], nn.Module]] = {
    "weight_norm": nn.utils.parametrizations.weight_norm,
    "old weight_norm": nn.utils.weight_norm,
    "spectral_norm": nn.utils.parametrizations.spectral_norm,
    "orthogonal": nn.utils.parametrizations.orthogonal,
}


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize("name", PARAMETRIZED)
def test_a_parametrized_weight_counts(name: str) -> None:
    """Of its layer's outputs each score is that of a layer that has the weight itself."""
    torch.manual_seed(0)
    odd = nn.Sequential(nn.Linear(CHANNELS, 40), nn.ReLU(), nn.Linear(40, CLASSES)).double()
    PARAMETRIZED[name](odd[0])
    batch = normal(N, CHANNELS), LABELS
    odd.train()
    plain = nn.Sequential(nn.Linear(CHANNELS, 40), nn.ReLU(), nn.Linear(40, CLASSES)).double()
    plain.load_state_dict({
        "0.weight": weight_in_use(odd, batch[0]), "0.bias": odd[0].bias.detach(),
        **{f"2.{key}": value for key, value in odd[2].state_dict().items()},
    })  # fmt: skip
    names = ["fisher", "nwot", "d8", "near", "rmin", "jacob_cov"]
    found, expected = score(odd, batch, names), score(plain, batch, names)
    check_same(found, expected, but=set())
    assert math.isfinite(found["nwot"].value)
    assert math.isfinite(found["fisher"].value) or "weight" in str(found["fisher"].why)


PARAMETERS: dict[str, str] = {
    "weight_norm": "parametrizations.weight.original1",
    "old weight_norm": "weight_v",
    "spectral_norm": "parametrizations.weight.original",
    "orthogonal": "parametrizations.weight.original",
    "": "weight",
}
"""The name of the parameter that the optimiser moves."""


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.parametrize("layers", ["all", "conv2d_linear"])
def test_the_weights_are_what_the_optimiser_moves(name: str, layers: Any) -> None:
    """Also of a layer with a single output. (`orthogonal` rounds a part of its parameter.)"""
    x = normal(N, CHANNELS)

    def build() -> tuple[nn.Module, list[Tensor]]:
        torch.manual_seed(0)
        parts = nn.Linear(CHANNELS, 6), nn.Linear(6, 1)
        model = nn.Sequential(parts[0], nn.Tanh(), parts[1]).double()
        for part in parts:
            PARAMETRIZED.get(name, lambda _: None)(part)
        return model, [part.get_parameter(PARAMETERS[name]) for part in parts]

    model, weights = build()
    loss = F.mse_loss(model(x), x[:, :1])
    grads = torch.autograd.grad(loss, weights)
    expected = sum(float((w * g).detach().abs().sum()) for w, g in zip(weights, grads, strict=True))
    model, _ = build()
    settings: Any = {"loss": "mse", "layers": layers, "verify": name != "orthogonal"}
    found = score(model, (x, x[:, :1]), ["snip", "grasp"], **settings)
    assert found["snip"].value == pytest.approx(expected, rel=1e-10)
    assert found["grasp"].why is None


def weight_in_use(model: Any, x: Tensor) -> Tensor:
    """The weight that the first layer of a copy of the model uses in training."""
    taken: list[Tensor] = []

    class Look(torch.overrides.TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            if func is F.linear and not taken:
                taken.append(args[1].detach().clone())
            return func(*args, **(kwargs or {}))

    before = copy.deepcopy(model.state_dict())
    with Look():
        model(x)
    model.load_state_dict(before)
    return taken[0]
