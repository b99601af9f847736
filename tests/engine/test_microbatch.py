"""Computing a batch in parts gives exactly the scores of the whole batch, or is refused."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foretell import ForetellError, score
from foretell.batch import Batch
from foretell.engine.passes.loss import loss_pass
from foretell.engine.subject import Subject
from foretell.losses import LOSSES
from foretell.proxies import PROXIES
from foretell.seeds import own_randomness
from tests.support.models import CLASSES, MODELS, SAMPLES, UNCOUPLED, conv, head, make
from tests.support.portraits import portrait, streams
from tests.support.scores import values

ALL = list(PROXIES)
HEAVY_TAILED = {"zico": 1e-3} | dict.fromkeys(["zen", "epe_nas", "meco", "meco_opt", "d8"], 1e-4)
"""Relative tolerances for scores that divide by differences, or are near zero."""


def terms_of_grasp(model: nn.Module, batch: tuple[Any, Tensor]) -> float:
    """Σ |g · Hw|, the scale of the rounding error of grasp's signed sum."""
    whole = Subject(model, Batch(*batch), LOSSES["cross_entropy"], 0, "all", "batch", None)
    found = loss_pass(whole, {"grads", "hessian_weights"}, {})
    if not isinstance(found["hessian_weights"], dict):
        return 0.0
    pairs = [(grad, found["hessian_weights"][name]) for name, grad in found["grads"].items()]
    return sum(float((grad * other).abs().sum()) for grad, other in pairs)


@pytest.mark.parametrize("size", [1, 2, 4, SAMPLES, SAMPLES + 1])
@pytest.mark.parametrize("name", UNCOUPLED)
def test_parts_add_up_to_the_whole_in_float64(name: str, size: int) -> None:
    model, batch = make(name, torch.float64)
    whole, parts = score(model, batch, ALL), score(model, batch, ALL, micro_batch=size)
    assert values(parts) == pytest.approx(values(whole), rel=1e-9, abs=0, nan_ok=True)
    assert {k: s.why for k, s in parts.items()} == {k: s.why for k, s in whole.items()}
    if whole["nwot"].why is None:  # it counts, so it is exact
        assert parts["nwot"].value == whole["nwot"].value


@pytest.mark.parametrize("size", [1, 2, 3, SAMPLES])
@pytest.mark.parametrize("name", UNCOUPLED)
def test_parts_add_up_to_the_whole_in_float32(name: str, size: int) -> None:
    model, batch = make(name)
    whole = values(score(model, batch, ALL))
    parts = values(score(model, batch, ALL, micro_batch=size))
    scales = {"grasp": terms_of_grasp(model, batch), "plain": whole["snip"]}
    for proxy, value in parts.items():
        limit = HEAVY_TAILED.get(proxy, 1e-5)
        near = pytest.approx(whole[proxy], rel=limit, abs=limit * scales.get(proxy, 0), nan_ok=True)
        assert value == near, proxy


@pytest.mark.parametrize("loss", ["mse", "bce_with_logits"])
def test_other_losses_too(loss: str) -> None:
    model, (inputs, _) = make("mlp", torch.float64)
    targets = torch.rand(SAMPLES, CLASSES, generator=torch.Generator().manual_seed(0)).double()
    whole = values(score(model, (inputs, targets), ALL, loss=loss))
    parts = values(score(model, (inputs, targets), ALL, loss=loss, micro_batch=4))
    assert parts == pytest.approx(whole, rel=1e-9, abs=0, nan_ok=True)


def test_a_loss_of_ones_own_that_is_a_mean_is_taken() -> None:
    model, batch = make("tuple_output", torch.float64)

    def loss(outputs: Any, labels: Tensor) -> Tensor:
        return F.cross_entropy(outputs[0], labels) + outputs[1].square().mean()

    whole = values(score(model, batch, ALL, loss=loss))
    assert values(score(model, batch, ALL, loss=loss, micro_batch=4)) == pytest.approx(
        whole, rel=1e-9, abs=0, nan_ok=True
    )


@pytest.mark.parametrize("name", [name for name, case in MODELS.items() if case.coupled])
def test_batch_norm_is_refused_and_frozen_statistics_are_exact(name: str) -> None:
    model, batch = make(name, torch.float64)
    with pytest.raises(ForetellError, match=r"BatchNorm.*micro_batch=None or batch_norm='frozen'"):
        score(model, batch, ALL, micro_batch=2)
    whole = values(score(model, batch, ALL, batch_norm="frozen"))
    parts = values(score(model, batch, ALL, batch_norm="frozen", micro_batch=4))
    assert parts == pytest.approx(whole, rel=1e-9, abs=0, nan_ok=True)


class Positions(nn.Module):
    """A network that adds a table read once for all samples, as long as the batch or a part."""

    def __init__(self, length: int, how: str) -> None:
        super().__init__()
        self.table, self.linear = nn.Embedding(length, 6), nn.Linear(6, 6)
        self.body, self.head = nn.Linear(5, 6), nn.Linear(6, 3)
        self.length, self.how = length, how

    def forward(self, x: Tensor) -> Tensor:
        """Logits of x, [N, length, 5]."""
        places = self.table(torch.arange(self.length))
        if self.how == "linear":
            places = self.linear(places)
        if self.how == "expanded":
            places = self.linear(places.expand(len(x), -1, -1))
        return self.head(torch.tanh(self.body(x) + places).mean(1))


@pytest.mark.parametrize("how", ["read", "linear", "expanded"])
@pytest.mark.parametrize("length", [1, 2, 3, 4, 6, 12])
def test_a_table_for_all_samples_is_no_sample(length: int, how: str) -> None:
    torch.manual_seed(0)
    model = Positions(length, how).double()
    batch = (torch.randn(6, length, 5, dtype=torch.float64), torch.arange(6) % 3)
    whole = values(score(model, batch, ["fisher", "fisher_reference"]))
    for size in (1, 2, 3, 4):
        parts = values(score(model, batch, ["fisher", "fisher_reference"], micro_batch=size))
        assert parts == pytest.approx(whole, rel=1e-9, abs=0)


class Centred(nn.Module):
    """A network with a user's function between its convolution and its head."""

    def __init__(self, between: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self.head, self.between = conv(3, 4), nn.Sequential(*head(4)), between

    def forward(self, x: Tensor) -> Any:
        """Apply the convolution, the user's function and the head."""
        return self.head(torch.relu(self.between(self.conv(x))))


def quantised(x: Tensor) -> Tensor:
    """Fake quantisation with one scale for the whole batch, and no gradient through the scale."""
    scale = x.detach().abs().max() / 7
    return x + ((x / scale).round() * scale - x).detach()


def rationed(x: Tensor) -> Tensor:
    """A router with a capacity: of three samples with the same sign, the last passes unchanged."""
    kind = (x.flatten(1).sum(1) > 0).long()
    before = F.one_hot(kind, 2).cumsum(0).gather(1, kind[:, None])
    return x + x.relu() * (before <= 2).to(x)[:, :, None, None]


def with_shared_gradient(x: Tensor) -> Tensor:
    """The identity, whose gradients of the batch are divided by their norm."""
    x = x * 1
    if x.requires_grad:
        x.register_hook(lambda grad: grad / grad.norm())
    return x


COUPLINGS: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "number of samples": (lambda x: x * len(x), "or on its place"),
    "place": (lambda x: x * torch.arange(len(x)).view(-1, 1, 1, 1), "depends on another"),
    "last sample": (lambda x: torch.cat([x[:-1], x[-1:] * 2]), "depends on another"),
    "third sample": (lambda x: x + x[2:3].sum(), "or on its place"),
    "more than two samples": (lambda x: x * (1 + (len(x) > 2)), "or on its place"),
    "capacity": (rationed, "or on its place"),
    "gradient": (with_shared_gradient, "gradient depends on another"),
    "centred": (lambda x: x - x.mean(0), "depends on another"),
    "centred by a constant": (lambda x: x - x.mean(0).detach(), "depends on another"),
    "quantised": (quantised, "depends on another"),
    "F.batch_norm": (lambda x: F.batch_norm(x, None, None, training=True), "BatchNorm"),
    "F.batch_norm, positional": (
        lambda x: F.batch_norm(x, torch.zeros(4), torch.ones(4), None, None, True),
        "BatchNorm",
    ),
    "torch.batch_norm": (
        lambda x: torch.batch_norm(x, None, None, None, None, True, 0.1, 1e-5, False),
        "BatchNorm|depends on another",
    ),
    "F.dropout": (lambda x: F.dropout(x, 0.5), "random"),
    "noise": (lambda x: x + torch.randn_like(x), "random"),
}


@pytest.mark.parametrize("coupling", COUPLINGS)
def test_couplings_of_ones_own_are_refused(coupling: str) -> None:
    between, why = COUPLINGS[coupling]
    _, batch = make("residual")
    with pytest.raises(ForetellError, match=why) as caught:
        score(Centred(between), batch, "snip", micro_batch=2)
    assert "micro_batch" in str(caught.value)


@pytest.mark.parametrize("proxy", ["zen", "zico", "nwot", "swap"])
def test_a_coupling_of_many_samples_is_refused_in_each_pass(proxy: str) -> None:
    _, batch = make("residual")
    with pytest.raises(ForetellError, match="or on its place"):
        score(Centred(COUPLINGS["capacity"][0]), batch, proxy, micro_batch=2)


def test_a_coupling_of_tokens_is_refused() -> None:
    """Integer inputs have no gradient that could reveal it."""

    class Bag(nn.Module):
        """Token embeddings that are centred over the batch."""

        def __init__(self) -> None:
            super().__init__()
            self.embed, self.classify = nn.Embedding(11, 6), nn.Linear(6, CLASSES)

        def forward(self, x: Tensor) -> Any:
            x = self.embed(x).mean(1)
            return self.classify(x - x.mean(0))

    _, batch = make("tokens")
    with pytest.raises(ForetellError, match="depends on another"):
        score(Bag(), batch, "snip", micro_batch=2)


def test_dropout_is_refused() -> None:
    model, batch = make("dropout")
    with pytest.raises(ForetellError, match="random numbers"):
        score(model, batch, ALL, micro_batch=2)
    assert score(model, batch, ALL, micro_batch=SAMPLES)["snip"].value > 0  # a single part


LOSSES_THAT_DO_NOT_SPLIT: dict[str, Callable[[Any, Any], Tensor]] = {
    "sum": lambda outputs, labels: F.cross_entropy(outputs, labels, reduction="sum"),
    "weighted": lambda outputs, labels: F.cross_entropy(
        outputs, labels, weight=torch.tensor([0.1, 1.0, 2.0, 3.0])
    ),
    "coupled": lambda outputs, _: outputs.std(0).mean(),
}


@pytest.mark.parametrize("loss", LOSSES_THAT_DO_NOT_SPLIT)
def test_a_loss_that_is_no_mean_over_samples_is_refused(loss: str) -> None:
    model, batch = make("mlp")
    with pytest.raises(ForetellError, match="the loss is not a mean over samples"):
        score(model, batch, "snip", loss=LOSSES_THAT_DO_NOT_SPLIT[loss], micro_batch=4)


def test_labels_to_be_ignored_do_not_falsify_the_mean() -> None:
    """F.cross_entropy ignores labels of −100, so its mean is over fewer samples."""
    model, (inputs, labels) = make("mlp", torch.float64)
    labels[1:4] = -100
    whole = score(model, (inputs, labels), "snip")["snip"].value
    try:
        parts = score(model, (inputs, labels), "snip", micro_batch=2)["snip"].value
    except ForetellError as error:
        assert "micro_batch" in str(error)  # noqa: PT017
    else:
        assert parts == pytest.approx(whole, rel=1e-9)


def test_a_refusal_leaves_everything_as_it_was() -> None:
    model, batch = make("conv_bn_relu")
    model.eval()
    before, random_before = portrait(model), streams()
    with pytest.raises(ForetellError):
        score(model, batch, ALL, micro_batch=2)
    with pytest.raises(ForetellError):
        score(model, batch, ALL, micro_batch=0)
    assert portrait(model) == before
    assert streams() == random_before


def test_the_targets_go_with_their_samples() -> None:
    """This holds even for nested targets."""
    model, (inputs, labels) = make("mlp", torch.float64)

    def loss(outputs: Any, targets: Any) -> Tensor:
        return (
            targets["weight"] * F.cross_entropy(outputs, targets["label"], reduction="none")
        ).mean()

    targets = {"label": labels, "weight": torch.arange(1.0, SAMPLES + 1).double()}
    whole = values(score(model, (inputs, targets), ALL, loss=loss))
    parts = values(score(model, (inputs, targets), ALL, loss=loss, micro_batch=4))
    assert parts == pytest.approx(whole, rel=1e-9, abs=0, nan_ok=True)


def test_the_random_streams_are_set_apart() -> None:
    """The check on two samples must not change what the pass draws."""
    model, batch = make("mlp")
    with own_randomness(5, torch.device("cpu")):
        before = torch.get_rng_state()
        score(model, batch, ALL, micro_batch=2)
        assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("proxy", ["nwot", "zen", "epe_nas", "zico"])
def test_parts_of_a_batch_that_hangs_together_are_refused(proxy: str) -> None:
    model, batch = make("conv_bn_relu")
    with pytest.raises(ForetellError, match=r"micro_batch would change the scores.*BatchNorm"):
        score(model, batch, proxy, micro_batch=2)


def test_two_parts_are_checked_as_more_are() -> None:
    half = SAMPLES // 2
    model, batch = make("conv_bn_relu")
    with pytest.raises(ForetellError, match="BatchNorm"):
        score(model, batch, "snip", micro_batch=half)
    model, batch = make("mlp")
    with pytest.raises(ForetellError, match="the loss is not a mean over samples"):
        score(model, batch, "snip", loss=LOSSES_THAT_DO_NOT_SPLIT["sum"], micro_batch=half)
    model, batch = make("residual", torch.float64)
    whole, parts = (score(model, batch, "nwot", micro_batch=size) for size in (None, half))
    assert parts["nwot"].value == whole["nwot"].value


def test_the_width_of_an_output_is_its_last_axis() -> None:
    """For texts, it is the size of the vocabulary, not the length."""

    class Words(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x[:, None, :1].expand(-1, 5, 7)

    subject = Subject(
        Words(), Batch(torch.rand(4, 3), None), lambda out, _: out.mean(), 0, "all", "batch", None
    )
    assert loss_pass(subject, {"output_width"}, {}) == {"output_width": 7}


class Field(nn.Module):
    """A network that differentiates while it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.energy, self.classify = nn.Linear(6, 9), nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Any:
        """Logits of the force."""
        x = x.detach().requires_grad_()
        energy = torch.tanh(self.energy(x)).sum()
        return self.classify(torch.autograd.grad(energy, x, create_graph=True)[0])


def test_a_model_or_a_loss_that_differentiates_is_exact_in_parts() -> None:
    def smooth(outputs: Tensor, targets: Tensor) -> Tensor:
        loss = F.cross_entropy(outputs, targets)
        return loss + torch.autograd.grad(loss, outputs, create_graph=True)[0].sum()

    generator = torch.Generator().manual_seed(0)
    batch = torch.randn(8, 6, generator=generator).double(), torch.arange(8) % CLASSES
    names, model = ["snip", "grasp", "fisher", "zen"], Field().double()
    for loss in ("cross_entropy", smooth):
        whole = score(model, batch, names, loss=loss)
        parts = score(model, batch, names, loss=loss, micro_batch=3)
        assert values(parts) == pytest.approx(values(whole), rel=1e-8, nan_ok=False)


def test_numbers_of_the_whole_batch_among_the_outputs_are_refused() -> None:
    class Penalised(nn.Linear):
        def forward(self, x: Tensor) -> Any:
            return {"logits": super().forward(x), "penalty": self.weight.square().sum()}

    def loss(outputs: Any, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs["logits"], targets) + outputs["penalty"]

    batch = torch.ones(8, 6), torch.arange(8) % CLASSES
    with pytest.raises(ForetellError, match="a number for the whole batch"):
        score(Penalised(6, CLASSES), batch, "snip", loss=loss, micro_batch=3)
