"""What is tapped during the forward pass, against terms worked out by hand."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from foretell import score
from foretell.batch import Batch
from foretell.engine.loss_pass import loss_pass
from foretell.engine.subject import Subject, Unavailable
from foretell.engine.watch import Watch
from foretell.losses import LOSSES
from models import CLASSES, conv, head

Taps = dict[str, Tensor]
SAMPLES = 4


def found(model: nn.Module, inputs: Any, *, layers: Any = "all", parts: int | None = None) -> Any:
    """`taylor` and `fan_in` of a model in float64."""
    model = filled(model).double().train()
    batch = Batch(inputs, torch.arange(SAMPLES) % CLASSES)
    subject = Subject(model, batch, LOSSES["cross_entropy"], 0, layers, "batch", parts)
    return loss_pass(subject, {"taylor", "fan_in"}, {})


def taylor(model: nn.Module, inputs: Any, **settings: Any) -> Taps:
    """The taps by name."""
    terms = found(model, inputs, **settings)["taylor"]
    assert isinstance(terms, dict), terms
    return terms


def filled(model: nn.Module) -> nn.Module:
    """The model with parameters that don't depend on torch's global generator."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for _, parameter in sorted(model.named_parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / 2)
    return model


def normal(*shape: int) -> Tensor:
    """Inputs of N(0, 1), the samples first."""
    return torch.randn(SAMPLES, *shape, generator=torch.Generator().manual_seed(4)).double()


def one_by_one(
    model: nn.Module, inputs: Tensor, layer: str, pick: Callable[[Any], Tensor]
) -> Tensor:
    """`[N, C]` of a module's output: each sample alone, Σ over positions of a · ∂L/∂a.

    `pick` makes `[positions, channels]` of the output for one sample; samples must not be coupled.
    """
    rows = []
    for n in range(SAMPLES):
        seen: list[Tensor] = []

        def keep(_: nn.Module, __: Any, output: Any, seen: list[Tensor] = seen) -> Any:
            first = output[0] if isinstance(output, tuple) else output
            first.retain_grad()
            seen.append(first)
            return (first.clone(), *output[1:]) if isinstance(output, tuple) else first.clone()

        handle = model.get_submodule(layer).register_forward_hook(keep)
        label = torch.tensor([n % CLASSES])
        (F.cross_entropy(model(inputs[n : n + 1]), label) / SAMPLES).backward()
        handle.remove()
        (output,) = seen
        assert output.grad is not None
        rows.append((pick(output.detach()) * pick(output.grad)).sum(0))
    return torch.stack(rows)


class Middle(nn.Module):
    """A layer and what follows it, between a way in and a classifier of the flattened rest."""

    def __init__(self, layer: nn.Module, after: Callable[[Any], Tensor], width: int) -> None:
        super().__init__()
        self.layer, self.after = layer, after
        self.classify = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Any:
        """Layer, function, classifier."""
        return self.classify(self.after(self.layer(x)).flatten(1))


def maps(output: Tensor) -> Tensor:
    """`[positions, channels]` of one sample's maps."""
    return output[0].flatten(1).T


def rows(output: Tensor) -> Tensor:
    """`[positions, channels]` of one sample's rows."""
    return output[0].reshape(-1, output.shape[-1])


FIRST: Callable[[Any], Tensor] = lambda out: torch.tanh(out[0])  # noqa: E731
LAYERS: dict[str, tuple[nn.Module, tuple[int, ...], Callable[[Any], Tensor], int, Any]] = {
    "Conv1d": (nn.Conv1d(3, 5, 2), (3, 6), torch.tanh, 25, maps),
    "Conv2d": (conv(3, 4), (3, 5, 5), torch.tanh, 100, maps),
    "Conv3d": (nn.Conv3d(2, 3, 2), (2, 3, 3, 3), torch.tanh, 24, maps),
    "ConvTranspose1d": (nn.ConvTranspose1d(3, 4, 2), (3, 5), torch.tanh, 24, maps),
    "ConvTranspose2d": (
        nn.ConvTranspose2d(4, 6, 2, stride=2, groups=2),
        (4, 3, 3),
        torch.tanh,
        216,
        maps,
    ),
    "Linear": (nn.Linear(5, 6), (5,), torch.tanh, 6, rows),
    "Linear on tokens": (nn.Linear(5, 6), (7, 5), torch.tanh, 42, rows),
    "Linear on maps": (nn.Linear(5, 6), (2, 3, 5), torch.tanh, 36, rows),
    "GRU": (nn.GRU(3, 5, batch_first=True), (6, 3), FIRST, 30, rows),
    "LSTM": (nn.LSTM(3, 5, batch_first=True), (6, 3), FIRST, 30, rows),
    "RNN, two directions": (
        nn.RNN(3, 5, batch_first=True, bidirectional=True),
        (6, 3),
        FIRST,
        60,
        rows,
    ),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_a_tap_is_the_sum_over_positions_for_each_sample_and_channel(kind: str) -> None:
    layer, shape, after, width, pick = LAYERS[kind]
    model, inputs = Middle(layer, after, width), normal(*shape)
    taps = taylor(model, inputs)
    name = "layer.weight_ih_l0" if isinstance(layer, nn.RNNBase) else "layer.weight"
    assert set(taps) == {name, "classify.weight"}
    expected = one_by_one(model, inputs, "layer", pick)
    assert taps[name].shape == expected.shape
    torch.testing.assert_close(taps[name], expected, rtol=1e-12, atol=1e-15)


class Cell(nn.Module):
    """A recurrent cell or an embedding bag: layers that give one row a sample."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer, self.classify = layer, nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Any:
        """Classify the layer's output."""
        out = self.layer(x)
        return self.classify(torch.tanh(out[0] if isinstance(out, tuple) else out))


ROWS: dict[str, tuple[Callable[[], nn.Module], str, int]] = {
    "GRUCell": (lambda: nn.GRUCell(5, 6), "weight_ih", 15),
    "LSTMCell": (lambda: nn.LSTMCell(5, 6), "weight_ih", 20),
    "RNNCell": (lambda: nn.RNNCell(5, 6), "weight_ih", 5),
    "EmbeddingBag": (lambda: nn.EmbeddingBag(9, 6), "weight", 9),
}


@pytest.mark.parametrize("kind", ROWS)
def test_cells_and_bags_are_layers_too(kind: str) -> None:
    layer, leaf, fan_in = ROWS[kind]
    tokens = torch.randint(9, (SAMPLES, 3), generator=torch.Generator().manual_seed(0))
    model, inputs = Cell(layer()), tokens if kind == "EmbeddingBag" else normal(5)
    quantities = found(model, inputs)
    assert quantities["fan_in"] == {f"layer.{leaf}": fan_in, "classify.weight": 6}
    expected = one_by_one(model, inputs, "layer", rows)
    torch.testing.assert_close(
        quantities["taylor"][f"layer.{leaf}"], expected, rtol=1e-12, atol=1e-15
    )


class Attend(nn.Module):
    """Self-attention with its output changed in place."""

    def __init__(self, *, batch_first: bool) -> None:
        super().__init__()
        self.layer = nn.MultiheadAttention(6, 2, batch_first=batch_first)
        self.classify = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Any:
        """Attend, classify the mean."""
        if not self.layer.batch_first:
            x = x.transpose(0, 1)
        out = self.layer(x, x, x)[0]
        return self.classify(torch.tanh(out).mean(1 if self.layer.batch_first else 0))


@pytest.mark.parametrize("batch_first", [True, False])
def test_attention_is_one_layer_with_its_output_projection(batch_first: bool) -> None:
    model, inputs = Attend(batch_first=batch_first), normal(5, 6)
    taps = taylor(model, inputs)
    assert set(taps) == {"layer.out_proj.weight", "classify.weight"}
    pick = rows if batch_first else (lambda output: output[:, 0])
    expected = one_by_one(model, inputs, "layer", pick)
    torch.testing.assert_close(taps["layer.out_proj.weight"], expected, rtol=1e-12, atol=1e-15)


class Words(nn.Module):
    """Token embeddings, positions, and a classifier of the sum over tokens."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.layer, self.position = nn.Embedding(9, 5), nn.Embedding(length, 5)
        self.classify = nn.Linear(5, CLASSES)

    def forward(self, x: Tensor) -> Any:
        """Embed and classify."""
        embedded = self.layer(x) + self.position(torch.arange(x.shape[1], device=x.device))
        return self.classify(torch.tanh(embedded).sum(1))


@pytest.mark.parametrize("length", [SAMPLES, 2 * SAMPLES, 7])
def test_an_embedding_is_tapped_and_a_table_for_all_samples_is_not(length: int) -> None:
    """Also where the table happens to have as many rows as the batch has samples."""
    tokens = torch.randint(9, (SAMPLES, length), generator=torch.Generator().manual_seed(0))
    model = Words(length)
    taps = taylor(model, tokens)
    assert set(taps) == {"layer.weight", "classify.weight"}
    expected = one_by_one(model, tokens, "layer", rows)
    torch.testing.assert_close(taps["layer.weight"], expected, rtol=1e-12, atol=1e-15)


def negated(h: Tensor) -> Tensor:
    """In place by an operator."""
    h *= -0.5
    return h


def masked(h: Tensor) -> Tensor:
    """Some channels set in place."""
    h[:, :1] = 0.25
    return h


def added(h: Tensor) -> Tensor:
    """A constant added in place, as a statement."""
    h.add_(1.0)
    return h


IN_PLACE: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "relu": (lambda h: F.relu(h, inplace=True), F.relu),
    "relu_": (torch.relu_, F.relu),
    "silu": (lambda h: F.silu(h, inplace=True), F.silu),
    "elu, positional": (lambda h: F.elu(h, 1.0, True), F.elu),
    "hardswish": (lambda h: F.hardswish(h, True), F.hardswish),
    "operator": (negated, lambda h: h * -0.5),
    "statement": (added, lambda h: h + 1.0),
    "item": (masked, lambda h: torch.cat([torch.full_like(h[:, :1], 0.25), h[:, 1:]], 1)),
    "through a name": (lambda h: F.relu(input=h, inplace=True), F.relu),
    "twice": (lambda h: F.relu(h.mul_(2.0), inplace=True), lambda h: F.relu(h * 2.0)),
}
SHAPES: dict[str, tuple[nn.Module, tuple[int, ...], int]] = {
    "convolution of a series": (nn.Conv1d(3, 5, 2), (3, 6), 25),
    "transposed convolution": (nn.ConvTranspose2d(3, 5, 2), (3, 4, 4), 125),
    "convolution": (conv(3, 4), (3, 5, 5), 100),
    "linear": (nn.Linear(5, 6), (5,), 6),
    "linear on tokens": (nn.Linear(5, 6), (7, 5), 42),
    "linear without bias on tokens": (nn.Linear(5, 6, bias=False), (7, 5), 42),
}


@pytest.mark.parametrize("change", IN_PLACE)
@pytest.mark.parametrize("layer", SHAPES)
def test_what_happens_in_place_afterwards_changes_nothing(layer: str, change: str) -> None:
    module, shape, width = SHAPES[layer]
    here, apart = (Middle(module, function, width) for function in IN_PLACE[change])
    inputs = normal(*shape)
    overwritten, kept = taylor(here, inputs), taylor(apart, inputs)
    assert set(overwritten) == set(kept)
    for name, terms in kept.items():
        assert terms.abs().sum() > 0
        torch.testing.assert_close(overwritten[name], terms, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("again", [False, True], ids=["once", "and again in sight"])
@pytest.mark.parametrize("layer", SHAPES)
def test_an_overwriting_out_of_sight_is_right_or_owned_up_to(layer: str, again: bool) -> None:
    """Through a view of the output: never a wrong value, at worst none and a reason."""
    module, shape, width = SHAPES[layer]

    def through_a_view(h: Tensor) -> Tensor:
        h.view(-1).mul_(2.0)
        return F.relu(h, inplace=again).tanh()

    inputs = normal(*shape)
    terms = found(Middle(module, through_a_view, width), inputs)["taylor"]
    if isinstance(terms, Unavailable):
        assert "overwritten" in terms.why
    else:
        kept = taylor(Middle(module, lambda h: F.relu(h * 2.0).tanh(), width), inputs)
        torch.testing.assert_close(terms["layer.weight"], kept["layer.weight"])


class Functional(nn.Module):
    """Plain parameters used in all the ways a weight can be multiplied by."""

    def __init__(self, use: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(5, 5))
        self.classify = nn.Linear(5, CLASSES)
        self.use = use

    def forward(self, x: Tensor) -> Any:
        """Multiply, classify the mean token."""
        return self.classify(torch.tanh(self.use(x, self.weight)).mean(1))


USES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "F.linear": F.linear,
    "F.linear by name": lambda x, w: F.linear(input=x, weight=w),
    "matmul operator": lambda x, w: x @ w,
    "torch.matmul": torch.matmul,
    "einsum": lambda x, w: torch.einsum("ntc,cd->ntd", x, w),
}


@pytest.mark.parametrize("use", USES)
def test_weights_used_functionally_are_seen(use: str) -> None:
    model, inputs = Functional(USES[use]), normal(7, 5)
    taps = taylor(model, inputs)
    assert set(taps) == {"weight", "classify.weight"}
    weight, head_ = model.weight.detach(), model.classify
    out = USES[use](inputs, weight).requires_grad_()
    F.cross_entropy(head_(torch.tanh(out).mean(1)), torch.arange(SAMPLES) % CLASSES).backward()
    assert out.grad is not None
    expected = (out.detach() * out.grad).sum(1)
    torch.testing.assert_close(taps["weight"], expected, rtol=1e-12, atol=1e-15)


def test_a_weight_computed_from_parameters_counts_unless_only_modules_do() -> None:
    """Weight standardisation: what F.conv2d is given is no parameter."""

    class Standardised(nn.Conv2d):
        """Its weight is centred before it is used."""

        def forward(self, x: Tensor) -> Tensor:
            return F.conv2d(x, self.weight - self.weight.mean(), self.bias, padding=1)

    model = nn.Sequential(Standardised(3, 4, 3), nn.ReLU(), *head(4))
    assert len(taylor(model, normal(3, 5, 5))) == 2
    assert list(taylor(model, normal(3, 5, 5), layers="conv2d_linear")) == ["4.weight"]


def test_a_frozen_layer_does_not_count_wherever_it_stands() -> None:
    """Nor does it matter whether the inputs are differentiated too."""
    model = nn.Sequential(
        *(conv(3, 4), nn.ReLU(), conv(4, 4), nn.ReLU(), conv(4, 4), nn.ReLU(), *head(4))
    )
    model[0].requires_grad_(False)
    model[4].requires_grad_(False)
    assert list(taylor(model, normal(3, 5, 5))) == ["2.weight", "8.weight"]
    batch = (normal(3, 5, 5), torch.arange(SAMPLES))
    for fisher in ("fisher", "fisher_reference"):
        alone = score(model, batch, fisher)[fisher]
        assert score(model, batch, [fisher, "jacob_cov"])[fisher].value == alone.value


class Scaled(nn.Module):
    """A frozen layer and a trainable weight that is no layer's."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, CLASSES).requires_grad_(False)
        self.scale = nn.Parameter(torch.ones(2, CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        """Scale the layer's output."""
        out: Tensor = self.layer(x) * self.scale.prod(0)
        return out


def test_a_model_without_a_layer_that_counts_says_so_in_any_company() -> None:
    batch = (normal(5).float(), torch.arange(SAMPLES))
    for company in (["fisher"], ["fisher", "jacob_cov"]):
        assert score(Scaled(), batch, company)["fisher"].why == (
            "no layer that counts has an output for each sample"
        )


def test_a_module_used_twice_counts_both_uses() -> None:
    layer = nn.Linear(5, 5)
    model = nn.Sequential(layer, nn.Tanh(), layer, nn.Tanh(), nn.Linear(5, CLASSES))
    inputs = normal(5)
    taps = taylor(model, inputs)
    assert list(taps) == ["0.weight", "0.weight#2", "4.weight"]
    other = nn.Linear(5, 5)
    other.load_state_dict(layer.state_dict())
    apart = nn.Sequential(layer, nn.Tanh(), other, nn.Tanh(), model[4]).double()
    first = one_by_one(apart, inputs, "0", rows)
    second = one_by_one(apart, inputs, "2", rows)
    torch.testing.assert_close(taps["0.weight"], first, rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(taps["0.weight#2"], second, rtol=1e-12, atol=1e-15)


class Windows(nn.Module):
    """Images cut into windows that are folded into the batch, as window attention does.

    A window may have as many positions as the batch has samples.
    """

    def __init__(self, windows: int, length: int) -> None:
        super().__init__()
        self.windows, self.length = windows, length
        self.layer, self.classify = nn.Linear(5, 6), nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Any:
        """`[N, windows · length, 5]`."""
        folded = x.reshape(-1, self.length, 5)  # [N · windows, length, 5]
        out = torch.tanh(self.layer(folded)).unflatten(0, (-1, self.windows))
        return self.classify(out.mean((1, 2)))


@pytest.mark.parametrize(
    ("windows", "length"),
    [
        (2, 3),
        (3, 7),
        (1, SAMPLES),
        (2, SAMPLES),
    ],
)
def test_windows_folded_into_the_batch_belong_to_their_samples(windows: int, length: int) -> None:
    model, inputs = Windows(windows, length), normal(windows * length, 5)
    taps = taylor(model, inputs)
    expected = one_by_one(model, inputs, "layer", lambda out: out.flatten(0, 1))
    torch.testing.assert_close(taps["layer.weight"], expected, rtol=1e-12, atol=1e-15)


class TimeFirst(nn.Module):
    """Inputs turned to `[T, N, C]` before the layer."""

    def __init__(self, layer: nn.Module, width: int) -> None:
        super().__init__()
        self.layer, self.classify = layer, nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Any:
        """Layer, classifier of the mean over time."""
        out = self.layer(x.transpose(0, 1))
        out = out[0] if isinstance(out, tuple) else out
        return self.classify(torch.tanh(out).mean(0))


@pytest.mark.parametrize("kind", [nn.Linear, nn.GRU, nn.LSTM])
@pytest.mark.parametrize("steps", [3, 7, SAMPLES, 2 * SAMPLES])
def test_time_first_layers_have_their_samples_second(kind: Any, steps: int) -> None:
    model, inputs = TimeFirst(kind(5, 6), 6), normal(steps, 5)
    taps = taylor(model, inputs)
    expected = one_by_one(model, inputs, "layer", lambda out: out[:, 0])
    torch.testing.assert_close(next(iter(taps.values())), expected, rtol=1e-12, atol=1e-15)


class Packed(nn.Module):
    """A GRU over sequences of different lengths."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.classify = nn.GRU(5, 6, batch_first=True), nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Any:
        """All samples have all steps."""
        lengths = torch.full((len(x),), x.shape[1])
        packed = pack_padded_sequence(x, lengths, batch_first=True)
        out, _ = pad_packed_sequence(self.layer(packed)[0], batch_first=True)
        return self.classify(torch.tanh(out).mean(1))


def test_a_packed_sequence_is_right_or_left_out() -> None:
    """Its output lies time after time, `[T · N, C]`."""
    model, inputs = Packed(), normal(3, 5)
    taps = taylor(model, inputs)
    plain = TimeFirst(model.layer, 6)
    plain.layer.batch_first, plain.classify = False, model.classify
    expected = one_by_one(plain, inputs, "layer", lambda out: out[:, 0])
    for name, terms in taps.items():
        if name != "classify.weight":
            torch.testing.assert_close(terms, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("parts", [1, 2, 3])
@pytest.mark.parametrize("length", [7, 8])
def test_a_table_stays_out_of_parts_of_any_size(length: int, parts: int) -> None:
    tokens = torch.randint(9, (SAMPLES, length), generator=torch.Generator().manual_seed(0))
    model = Words(length)
    whole = taylor(model, tokens)
    in_parts = taylor(model, tokens, parts=parts)
    assert set(in_parts) == set(whole) == {"layer.weight", "classify.weight"}
    for name, terms in in_parts.items():
        torch.testing.assert_close(terms, whole[name], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_parts_of_the_batch_give_the_same_rows(parts: int) -> None:
    model, inputs = Windows(2, 3), normal(6, 5)
    whole = taylor(model, inputs)
    for name, terms in taylor(model, inputs, parts=parts).items():
        torch.testing.assert_close(terms, whole[name], rtol=1e-12, atol=1e-15)


def test_fan_in_is_what_feeds_one_channel() -> None:
    model = nn.Sequential(
        *(conv(4, 6, groups=2), nn.ReLU(), nn.ConvTranspose2d(6, 4, 2, groups=2), *head(4))
    )
    fan_in = found(model, normal(4, 3, 3))["fan_in"]
    assert fan_in == {"0.weight": 2 * 9, "2.weight": 3 * 4, "5.weight": 4}


def test_batch_statistics_are_noticed_in_training_only() -> None:
    for training in (True, False):
        watch = Watch({}, SAMPLES)
        with watch:
            nn.BatchNorm1d(5).train(training)(normal(5).float())
        assert watch.batch_statistics is training


def test_an_unused_layer_has_zeros() -> None:
    class Unused(nn.Module):
        """One layer's output goes nowhere."""

        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = nn.Linear(5, CLASSES), nn.Linear(5, 6)

        def forward(self, x: Tensor) -> Any:
            self.unused(x)
            return self.used(x)

    taps = taylor(Unused(), normal(5))
    assert torch.equal(taps["unused.weight"], torch.zeros(SAMPLES, 6).double())
    assert taps["used.weight"].abs().sum() > 0
