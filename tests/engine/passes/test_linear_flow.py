"""The flow of SynFlow compared with Python integers, which are exact and unlimited."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import mpmath
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foretell import score
from foretell.engine.passes.linear_flow import even_softmax
from tests.support.models import SAMPLES, conv, head, make

Matrix = list[list[int]]
Vector = list[int]

SYNFLOWS = ("synflow", "synflow_reference")
DIGITS = {torch.float32: 1e-6, torch.float64: 1e-12}
"""The relative tolerance of a logarithm."""


def synflow(model: nn.Module, shape: Sequence[int], proxy: str = "synflow") -> float:
    """The score of a model for two inputs of a given shape."""
    dtype = next(model.parameters()).dtype
    batch = (torch.zeros(2, *shape, dtype=dtype), torch.zeros(2, dtype=torch.long))
    found = score(model, batch, proxy)[proxy]
    assert found.why is None
    return found.value


def whole_numbers(model: nn.Module, largest: int, seed: int = 0) -> nn.Module:
    """The model with random integer weights of magnitude 1 to `largest`."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            drawn = torch.randint(1, largest + 1, parameter.shape, generator=generator)
            signs = torch.randint(0, 2, parameter.shape, generator=generator) * 2 - 1
            parameter.copy_(drawn * signs)
    return model


def absolute(layer: nn.Linear) -> tuple[Matrix, Vector]:
    """|W| and |b| as Python integers."""
    weight = [[abs(round(w)) for w in row] for row in layer.weight.tolist()]
    bias = [0] * layer.out_features if layer.bias is None else layer.bias.tolist()
    return weight, [abs(round(b)) for b in bias]


def product(matrix: Matrix, vector: Vector) -> Vector:
    """Mx."""
    return [sum(m * v for m, v in zip(row, vector, strict=True)) for row in matrix]


def transposed(matrix: Matrix) -> Matrix:
    """Mᵀ."""
    return [list(column) for column in zip(*matrix, strict=True)]


def exact_chain(layers: list[nn.Linear]) -> int:
    """Σ w · ∂R/∂w of linear layers with ReLUs between them, computed exactly."""
    parts = [absolute(layer) for layer in layers]
    values = [[1] * layers[0].in_features]
    for weight, bias in parts:
        plus = zip(product(weight, values[-1]), bias, strict=True)
        values.append([out + b for out, b in plus])
    back = [1] * layers[-1].out_features
    total = 0
    for (weight, _), before in zip(reversed(parts), reversed(values[:-1]), strict=True):
        flowing = product(weight, before)
        total += sum(g * out for g, out in zip(back, flowing, strict=True))
        back = product(transposed(weight), back)
    return total


def chain(depth: int, width: int, *, bias: bool, activation: Callable[[], nn.Module]) -> Any:
    """Linear layers with activation functions between them."""
    layers = [nn.Linear(width, width, bias=bias) for _ in range(depth)]
    return nn.Sequential(*(part for layer in layers for part in (layer, activation())))[:-1]


def linear_layers(model: nn.Module) -> list[nn.Linear]:
    """The linear layers of a model, in order."""
    return [module for module in model.modules() if isinstance(module, nn.Linear)]


@pytest.mark.parametrize("proxy", SYNFLOWS)
@pytest.mark.parametrize("dtype", DIGITS)
def test_a_chain_without_biases_has_layers_times_flow(dtype: torch.dtype, proxy: str) -> None:
    model = whole_numbers(chain(5, 4, bias=False, activation=nn.ReLU), 9).to(dtype)
    flow = [1] * 4
    for layer in linear_layers(model):
        flow = product(absolute(layer)[0], flow)
    expected = math.log(5 * sum(flow))
    assert synflow(model, [4], proxy) == pytest.approx(expected, rel=DIGITS[dtype])


@pytest.mark.parametrize("proxy", SYNFLOWS)
@pytest.mark.parametrize("bias", [False, True], ids=["no_bias", "bias"])
@pytest.mark.parametrize("dtype", DIGITS)
def test_four_hundred_layers_beyond_all_floats(dtype: torch.dtype, bias: bool, proxy: str) -> None:
    model = whole_numbers(chain(400, 3, bias=bias, activation=nn.ReLU), 99).to(dtype)
    exact = exact_chain(linear_layers(model))
    assert exact > 10**800
    assert synflow(model, [3], proxy) == pytest.approx(math.log(exact), rel=DIGITS[dtype])


class Blocks(nn.Module):
    """Residual blocks h + W₂ relu(W₁ h), added in one of several ways."""

    def __init__(self, depth: int, width: int, add: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.first = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(depth))
        self.second = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(depth))
        self.add = add

    def forward(self, h: Tensor) -> Tensor:
        """All blocks."""
        for first, second in zip(self.first, self.second, strict=True):
            h = self.add(second(torch.relu(first(h))), h)
        return h


def exact_blocks(model: Blocks) -> int:
    """Σ w · ∂R/∂w of the blocks, computed exactly."""
    width = model.first[0].in_features
    h, steps = [1] * width, []
    for first, second in zip(model.first, model.second, strict=True):
        w1, w2 = absolute(first)[0], absolute(second)[0]
        inner = product(w1, h)
        steps.append((w1, w2, h, inner))
        h = [a + b for a, b in zip(product(w2, inner), h, strict=True)]
    back, total = [1] * width, 0
    for w1, w2, before, inner in reversed(steps):
        total += sum(g * out for g, out in zip(back, product(w2, inner), strict=True))
        through = product(transposed(w2), back)
        total += sum(g * out for g, out in zip(through, product(w1, before), strict=True))
        back = [a + b for a, b in zip(back, product(transposed(w1), through), strict=True)]
    return total


def in_place(out: Tensor, h: Tensor) -> Tensor:
    """An in-place sum whose result is not used."""
    out.add_(h)
    return out


def augmented(out: Tensor, h: Tensor) -> Tensor:
    """+= on the output of the block."""
    out += h
    return out


def stacked(out: Tensor, h: Tensor) -> Tensor:
    """A sum of stacked tensors."""
    return torch.stack([out, h]).sum(0)


SUMS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "out + h": lambda out, h: out + h,
    "h + out": lambda out, h: h + out,
    "out += h": augmented,
    "out.add_(h)": in_place,
    "torch.add": torch.add,
    "stack and sum": stacked,
    "twice half": lambda out, h: (out + h) * 0.5 * 2.0,
    "sent round": lambda out, h: torch.cat([out, h], 1).chunk(2, 1)[0] + h,
}


@pytest.mark.parametrize("add", SUMS)
def test_three_hundred_residual_blocks_beyond_all_floats(add: str) -> None:
    model = Blocks(300, 3, SUMS[add])
    whole_numbers(model, 9)
    exact = exact_blocks(model)
    assert exact > 10**400
    assert synflow(model, [3]) == pytest.approx(math.log(exact), rel=1e-6)
    assert synflow(model.double(), [3]) == pytest.approx(math.log(exact), rel=1e-12)


@pytest.mark.parametrize("power", [10, 40, 100])
def test_very_small_weights_lose_nothing(power: int) -> None:
    """With weights of 2^-power times an integer, the flow is 2^(-power · depth) times as large."""
    model = whole_numbers(chain(60, 3, bias=False, activation=nn.ReLU), 9)
    exact = exact_chain(linear_layers(model))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2.0**-power)
    expected = math.log(exact) - 60 * power * math.log(2)
    assert synflow(model, [3]) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("add", ["out + h", "out.add_(h)", "stack and sum"])
def test_small_flows_are_summed_as_small_flows(add: str) -> None:
    """Each block scales by 2^-40, at depths at which no float represents the flow."""
    blocks = Blocks(40, 3, SUMS[add])
    whole_numbers(blocks, 9)
    exact = exact_blocks(blocks)
    shrink = chain(40, 3, bias=False, activation=nn.Identity)
    with torch.no_grad():
        for layer in linear_layers(shrink):
            layer.weight.copy_(torch.eye(3) * 2.0**-40)
    flow = sum(exact_blocks_value(blocks))
    log = 40 * 40 * math.log(2)
    expected = math.log(exact + 40 * flow) - log
    assert synflow(nn.Sequential(shrink, blocks), [3]) == pytest.approx(expected, rel=1e-6)


def exact_blocks_value(model: Blocks) -> Vector:
    """The output of the blocks for ones, computed exactly."""
    h = [1] * model.first[0].in_features
    for first, second in zip(model.first, model.second, strict=True):
        out = product(absolute(second)[0], product(absolute(first)[0], h))
        h = [a + b for a, b in zip(out, h, strict=True)]
    return h


IDENTITIES: dict[str, Callable[[], nn.Module]] = {
    **{kind.__name__: kind for kind in (nn.GELU, nn.SiLU, nn.Hardswish, nn.ELU, nn.Mish)},
    **{kind.__name__: kind for kind in (nn.Softplus, nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.CELU)},
    "SiLU, in place": lambda: nn.SiLU(inplace=True),
    "Hardswish, in place": lambda: nn.Hardswish(inplace=True),
}


@pytest.mark.parametrize("dtype", DIGITS)
@pytest.mark.parametrize("name", IDENTITIES)
def test_activations_pass_on_what_is_beyond_all_floats(name: str, dtype: torch.dtype) -> None:
    """The weights are so large that each function is the identity from the first layer on."""
    model = whole_numbers(chain(300, 3, bias=False, activation=IDENTITIES[name]), 9)
    with torch.no_grad():
        for layer in linear_layers(model):
            layer.weight.mul_(1000)
    exact = exact_chain(linear_layers(model))
    assert exact > 10**1000
    assert synflow(model.to(dtype), [3]) == pytest.approx(math.log(exact), rel=DIGITS[dtype])


class Gated(nn.Module):
    """A chain whose last output is multiplied by a gate computed from it."""

    def __init__(self, gate: Callable[[Tensor], Tensor], depth: int) -> None:
        super().__init__()
        self.body = chain(depth, 3, bias=False, activation=nn.ReLU)
        self.gate = gate
        self.last = nn.Linear(3, 2, bias=False)

    def forward(self, x: Tensor) -> Any:
        """Gate and project."""
        x = self.body(x)
        return self.last(x * self.gate(x))


GATES: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "hardsigmoid": F.hardsigmoid,
}


@pytest.mark.parametrize("depth", [3, 400])
@pytest.mark.parametrize("gate", GATES)
def test_an_open_gate_lets_everything_through(gate: str, depth: int) -> None:
    """Weights are at least 1000, so from the first layer on, the gate is one to the last bit."""
    model = Gated(GATES[gate], depth)
    whole_numbers(model, 9)
    with torch.no_grad():
        for layer in linear_layers(model):
            layer.weight.mul_(1000)
    exact = exact_chain(linear_layers(model))
    assert synflow(model, [3]) == pytest.approx(math.log(exact), rel=1e-6)


@pytest.mark.parametrize("function", ["sigmoid", "gelu", "silu", "softplus"])
def test_a_nonlinear_function_is_taken_at_the_true_value(function: str) -> None:
    """One layer scales up and one down, so that the function sees neither zero nor infinity."""
    model = nn.Sequential(nn.Linear(1, 1, bias=False), Named(function), nn.Linear(1, 1, bias=False))
    with torch.no_grad():
        model[0].weight.fill_(-0.75)
        model[2].weight.fill_(1.25)
    with mpmath.workdps(50):
        exact = {
            "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
            "gelu": lambda x: x * mpmath.ncdf(x),
            "silu": lambda x: x / (1 + mpmath.exp(-x)),
            "softplus": lambda x: mpmath.log(1 + mpmath.exp(x)),
        }[function]
        value, slope = exact(mpmath.mpf(0.75)), mpmath.diff(exact, mpmath.mpf(0.75))
        expected = float(mpmath.log(1.25 * value + 1.25 * slope * 0.75))
    assert synflow(model.double(), [1]) == pytest.approx(expected, rel=1e-13)


class Named(nn.Module):
    """A function of torch.nn.functional or torch, by name."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.function = getattr(F, name, None) or getattr(torch, name)

    def forward(self, x: Tensor) -> Any:
        """Apply it."""
        return self.function(x)


@pytest.mark.parametrize("proxy", SYNFLOWS)
def test_no_flow_is_nan_with_a_reason(proxy: str) -> None:
    model = chain(3, 4, bias=False, activation=nn.ReLU)
    with torch.no_grad():
        model[2].weight.zero_()
    batch = (torch.ones(2, 4), torch.zeros(2, dtype=torch.long))
    found = score(model, batch, proxy)[proxy]
    assert math.isnan(found.value)
    assert found.why == "no signal flows from the input to the output"


@pytest.mark.parametrize("proxy", SYNFLOWS)
def test_a_path_around_a_dead_layer_still_flows(proxy: str) -> None:
    model = Blocks(2, 3, torch.add)
    whole_numbers(model, 9)
    with torch.no_grad():
        model.first[1].weight.zero_()
    assert synflow(model, [3], proxy) == pytest.approx(math.log(exact_blocks(model)), rel=1e-6)


@pytest.mark.parametrize("proxy", SYNFLOWS)
def test_a_dead_channel_beside_an_enormous_one_stays_dead(proxy: str) -> None:
    """Sigmoid of zero is a half, even if another channel exceeds the range of floats."""
    model = nn.Sequential(
        chain(200, 2, bias=False, activation=nn.ReLU), nn.Sigmoid(), nn.Linear(2, 1, bias=False)
    )
    with torch.no_grad():
        for layer in linear_layers(model):
            layer.weight.copy_(torch.tensor([[1000.0, 0.0], [0.0, 0.0]])[: layer.out_features])
        model[2].weight.copy_(torch.tensor([[0.0, 3.0]]))
    # only the second weight of the last layer carries flow, 3 · sigmoid(0)
    assert synflow(model, [2], proxy) == pytest.approx(math.log(1.5), rel=1e-6)


def test_what_batch_norm_holds_does_not_count() -> None:
    model, (inputs, labels) = make("conv_bn_relu")
    before = score(model, (inputs, labels), "synflow")["synflow"].value
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                for tensor in (module.weight, module.bias, module.running_mean):
                    assert tensor is not None
                    tensor.copy_(torch.randn(tensor.shape, generator=generator))
                assert module.running_var is not None
                module.running_var.mul_(9)
    for batch_norm in ("batch", "frozen"):
        after = score(model, (inputs, labels), "synflow", batch_norm=batch_norm)["synflow"].value
        assert after == before


@pytest.mark.parametrize("proxy", SYNFLOWS)
def test_data_labels_and_batch_size_do_not_count(proxy: str) -> None:
    model, (inputs, labels) = make("squeeze_excite")
    before = score(model, (inputs, labels), proxy)[proxy].value
    generator = torch.Generator().manual_seed(1)
    others = torch.randn(2 * SAMPLES, 3, 5, 5, generator=generator)
    for batch in ((others, None), (others[:1], None), (torch.zeros(3, 3, 5, 5), torch.ones(3))):
        assert score(model, batch, proxy)[proxy].value == before


def test_signs_do_not_count() -> None:
    model, batch = make("no_norm")
    before = score(model, batch, "synflow")["synflow"].value
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.neg_()
    assert score(model, batch, "synflow")["synflow"].value == before


class Functional(nn.Module):
    """BatchNorm called as a function, so that it is not visible as a module."""

    def __init__(self, norm: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self.norm, self.head = conv(3, 4), norm, nn.Sequential(*head(4))

    def forward(self, x: Tensor) -> Any:
        """Convolution, norm, head."""
        return self.head(torch.relu(self.norm(self.conv(x))))


@pytest.mark.parametrize(
    "norm",
    [
        lambda x: F.batch_norm(x, None, None, training=True),
        lambda x: F.batch_norm(x, x.new_zeros(4), x.new_ones(4), training=False),
        lambda x: torch.batch_norm(x, None, None, None, None, True, 0.1, 1e-5, False),
    ],
    ids=["training", "evaluation", "torch.batch_norm"],
)
def test_functional_batch_norm_is_bypassed_too(norm: Callable[[Tensor], Tensor]) -> None:
    model, plain = Functional(norm), Functional(lambda x: x)
    plain.load_state_dict(model.state_dict())
    assert synflow(model, [3, 5, 5]) == synflow(plain, [3, 5, 5])


def test_an_in_place_function_after_a_bypassed_norm_is_safe() -> None:
    """The bypass must not return the output of the convolution itself, which may be overwritten."""
    norm, act = nn.BatchNorm2d(4), nn.SiLU(inplace=True)
    torch_order = nn.Sequential(conv(3, 4), norm, act, *head(4))
    without = nn.Sequential(torch_order[0], nn.SiLU(), *torch_order[3:])
    assert synflow(torch_order, [3, 5, 5]) == pytest.approx(synflow(without, [3, 5, 5]), rel=1e-6)


def test_the_mark_of_the_reference_is_honoured() -> None:
    """A BatchNorm marked as kept remains in synflow_reference, and only there."""
    model, batch = make("conv_bn_relu", torch.float64)
    plain = {name: score(model, batch, name)[name].value for name in SYNFLOWS}
    assert plain["synflow"] == plain["synflow_reference"]
    model[1].kept_in_reference_synflow = True
    marked = {name: score(model, batch, name)[name].value for name in SYNFLOWS}
    assert marked["synflow"] == plain["synflow"]
    assert marked["synflow_reference"] != plain["synflow_reference"]
    for bypassed in (1, 4):
        model[bypassed].kept_in_reference_synflow = True
    model[1].kept_in_reference_synflow = False
    assert (
        score(model, batch, "synflow_reference")["synflow_reference"].value
        != marked["synflow_reference"]
    )


def weight_of_products(x: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """A layer whose weight is itself a product of weights."""
    return F.linear(x, a @ b)


class Computed(nn.Module):
    """Linear layers whose weight is a product of two enormous matrices."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.empty(2, 2)), nn.Parameter(torch.empty(2, 2))

    def forward(self, x: Tensor) -> Tensor:
        """ABx."""
        return weight_of_products(x, self.a, self.b)


@pytest.mark.parametrize("power", [40, 100])
def test_a_computed_weight_carries_its_exponent_too(power: int) -> None:
    model = Computed()
    whole_numbers(model, 9)
    a = [[abs(round(v)) for v in row] for row in model.a.tolist()]
    b = [[abs(round(v)) for v in row] for row in model.b.tolist()]
    flow = sum(product(a, product(b, [1, 1])))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2.0**power)
    expected = math.log(2 * flow) + 2 * power * math.log(2)
    assert synflow(model, [2]) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("shrink", [False, True], ids=["enormous", "tiny"])
def test_a_number_added_to_what_no_float_holds(shrink: bool) -> None:
    """Above the range of floats, x + 1 is x; below it, x + 1 is 1, and nothing of x flows."""
    body = chain(60, 2, bias=False, activation=nn.ReLU)
    with torch.no_grad():
        for layer in linear_layers(body):
            layer.weight.copy_(torch.eye(2) * 2.0 ** (-40 if shrink else 40))
    model = nn.Sequential(body, PlusOne(), nn.Linear(2, 1, bias=False))
    with torch.no_grad():
        model[2].weight.fill_(1.0)
    value = synflow(model, [2])
    if shrink:
        assert value == pytest.approx(math.log(2.0), rel=1e-6)
    else:
        assert value == pytest.approx(math.log(2 * 61) + 2400 * math.log(2), rel=1e-6)


class PlusOne(nn.Module):
    """x + 1."""

    def forward(self, x: Tensor) -> Tensor:
        """Add a number."""
        return x + 1.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_a_mask_excludes_has_no_share_however_the_mask_is_written(dtype: torch.dtype) -> None:
    """The mask is minus infinity or the smallest float, alone or added to a logit."""
    smallest = torch.finfo(dtype).min
    for mask in (-math.inf, smallest, smallest / 4 * 3):
        logits = torch.tensor([[3.0, mask, -2.0, mask + 5.0]], dtype=dtype)
        assert even_softmax(logits, -1).tolist() == [[0.5, 0.0, 0.5, 0.0]]
    low = torch.tensor([[-1e4, smallest / 4, 0.0, 7.0]], dtype=dtype)  # low, but not a mask
    assert even_softmax(low, -1).tolist() == [[0.25] * 4]
    masked = torch.full((2, 3), -math.inf, dtype=dtype)  # nothing to attend to
    assert even_softmax(masked).tolist() == [[0.0] * 3] * 2
