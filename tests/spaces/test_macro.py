"""NAS-Bench-Macro, compared with the benchmark's table, and its networks with simple twins."""

import itertools
import random
from pathlib import Path

import hypothesis.strategies as st
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from foretell.errors import ForetellError
from foretell.spaces import Arch, NASBenchMacro, enumerate_space, neighbours, sample
from tests.support.optimising import losses_of
from tests.support.twins import norm

SPACE = NASBenchMacro()
SMALL = NASBenchMacro(channels=4, features=16, classes=3, resolution=16)
FIRST = (0, 2, 5)  # the layers that begin a stage
KERNEL, EXPANSION = (1, 3, 5), (0, 3, 6)
archs = st.tuples(*[st.integers(0, 2)] * 8)


@pytest.fixture(scope="module")
def table(shared: Path) -> pd.DataFrame:
    return pd.read_parquet(shared / "data" / "tables" / "nasbench_macro_cifar10.parquet")


def images(space: NASBenchMacro, batch: int = 3) -> Tensor:
    shape = (space.in_channels, space.resolution, space.resolution)
    return torch.randn(batch, *shape, generator=torch.Generator().manual_seed(0))


# --- names -----------------------------------------------------------------------------------


def test_the_space_is_the_tables_6561_names(table: pd.DataFrame) -> None:
    everything = [SPACE.format(arch) for arch in enumerate_space(SPACE)]
    assert sorted(table["arch"]) == everything == sorted(set(everything))
    assert len(everything) == 6_561
    assert all(SPACE.format(SPACE.parse(text)) == text for text in everything)


def test_canonical_splits_the_space_as_the_tables_results_do(table: pd.DataFrame) -> None:
    """The three accuracies of a row identify the training that they come from."""
    canonical = [SPACE.canonical(SPACE.parse(text)) for text in table["arch"]]
    results = zip(table["test_acc_a"], table["test_acc_b"], table["test_acc_c"], strict=True)
    pairs = set(zip(canonical, results, strict=True))
    assert len(pairs) == len(set(canonical)) == len({result for _, result in pairs}) == 3_969


@pytest.mark.parametrize("text", ["", "0201210", "020121000", "02012103", "0,2,0,1"])
def test_an_invalid_text_is_refused_with_the_reason(text: str) -> None:
    with pytest.raises(
        ForetellError, match=r"is not a NAS-Bench-Macro network; .*02012100"
    ) as error:
        SPACE.parse(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ({"channels": 0}, "channels is 0; give an integer of at least 1"),
        ({"features": 1.5}, "features is 1.5"),
        ({"classes": True}, "classes is True"),
    ],
)
def test_a_wrong_setting_is_refused(setting: dict[str, object], complaint: str) -> None:
    with pytest.raises(ForetellError, match=complaint):
        NASBenchMacro(**setting)  # type: ignore[arg-type]


# --- parameters and arithmetic ---------------------------------------------------------------


def parameters_and_multiply_adds(arch: Arch, space: NASBenchMacro) -> tuple[int, int]:
    """The numbers of trainable parameters and of multiply-adds per image, added up by hand."""
    convolutions = [(space.in_channels, space.channels, 3, 1, space.resolution)]
    width, size = space.channels, space.resolution
    for layer, block in enumerate(arch):
        wide_in, before = width, size
        if layer in FIRST:
            width, size = 2 * width, (size + 1) // 2
        if block:
            inner = EXPANSION[block] * wide_in
            convolutions.append((wide_in, inner, 1, 1, before))
            convolutions.append((inner, inner, KERNEL[block], inner, size))
            convolutions.append((inner, width, 1, 1, size))
        elif layer in FIRST:
            convolutions.append((wide_in, width, 1, 1, size))
    convolutions.append((width, space.features, 1, 1, size))
    parameters = multiply_adds = space.features * space.classes
    for wide_in, wide_out, kernel, groups, out_size in convolutions:
        weights = wide_in * wide_out * kernel**2 // groups
        parameters += weights + 2 * wide_out
        multiply_adds += weights * out_size**2
    return parameters + space.classes, multiply_adds


def test_counts_equal_the_benchmarks(table: pd.DataFrame) -> None:
    for text, parameters, flops in zip(table["arch"], table["params"], table["flops"], strict=True):
        counted = parameters_and_multiply_adds(SPACE.parse(text), SPACE)
        assert counted == (parameters, flops)


def test_networks_have_the_costs_counted_by_hand() -> None:
    """The "flops" of the benchmark are multiply-adds; PyTorch counts two for each."""
    rng = random.Random(0)
    for _ in range(30):
        space = NASBenchMacro(
            channels=rng.choice([3, 32]),
            features=rng.choice([20, 1280]),
            classes=rng.choice([10, 100]),
            in_channels=rng.choice([1, 3]),
            resolution=rng.choice([9, 32]),
        )
        arch = sample(space, rng)
        model = space.build(arch, seed=0)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model.eval()(images(space, batch=1))
        counted = sum(p.numel() for p in model.parameters()), counter.get_total_flops() // 2
        assert counted == parameters_and_multiply_adds(arch, space)


# --- the forward pass ------------------------------------------------------------------------


def run_twin(model: nn.Module, arch: Arch, x: Tensor) -> Tensor:
    weights = iter([p for name, p in model.named_parameters() if p.dim() == 4])
    x = norm(F.conv2d(x, next(weights), padding=1)).relu()
    for layer, block in enumerate(arch):
        stride, given = 2 if layer in FIRST else 1, x
        if block:
            pad = KERNEL[block] // 2
            x = norm(F.conv2d(x, next(weights))).relu()
            x = norm(F.conv2d(x, next(weights), None, stride, pad, groups=x.shape[1])).relu()
            x = norm(F.conv2d(x, next(weights)))
            x = x + given if layer not in FIRST else x
        elif layer in FIRST:
            x = norm(F.conv2d(x[:, :, ::2, ::2], next(weights)))
    x = norm(F.conv2d(x, next(weights))).relu().mean((2, 3))
    assert next(weights, None) is None
    *_, weight, bias = model.parameters()
    return x @ weight.T + bias


@settings(max_examples=40, deadline=None)
@given(archs)
def test_networks_compute_what_their_twin_computes(arch: Arch) -> None:
    model, x = SMALL.build(arch, seed=1).double(), images(SMALL).double()
    torch.testing.assert_close(model(x), run_twin(model, arch, x), rtol=1e-9, atol=1e-9)


@settings(max_examples=20, deadline=None)
@given(archs, st.integers(0, 2**32))
def test_a_layer_has_the_same_weights_whatever_the_others_are(arch: Arch, seed: int) -> None:
    other = random.Random(seed).choice(list(neighbours(SMALL, arch)))
    one, two = (SMALL.build(a, seed=3).state_dict() for a in (arch, other))
    alike = [key for key in one if key in two and one[key].shape == two[key].shape]
    assert {"stem.0.weight", "head.0.weight", "head.5.weight"} <= set(alike)
    assert all(torch.equal(one[key], two[key]) for key in alike)
    changed = next(i for i, (a, b) in enumerate(zip(arch, other, strict=True)) if a != b)
    stage = sum(changed >= first for first in FIRST)
    prefix = f"stage{stage}.{changed - FIRST[stage - 1]}."
    assert all(key.startswith(prefix) for key in {*one, *two} - set(alike))


@settings(max_examples=10, deadline=None)
@given(archs)
def test_canonical_computes_the_same_with_the_same_weights(arch: Arch) -> None:
    one, two = SMALL.build(arch, seed=0), SMALL.build(SMALL.canonical(arch), seed=1)
    for mine, other in itertools.zip_longest(one.parameters(), two.parameters()):
        other.data.copy_(mine)
    assert torch.equal(one(images(SMALL)), two(images(SMALL)))


@pytest.mark.parametrize("resolution", [9, 7, 3, 1])
def test_any_resolution_works(resolution: int) -> None:
    space = NASBenchMacro(channels=2, features=4, classes=3, in_channels=1, resolution=resolution)
    assert space.build(space.parse("21021012"), seed=0)(images(space)).shape == (3, 3)


def test_a_network_is_in_training_mode_and_can_be_trained() -> None:
    model = SMALL.build(SMALL.parse("21021012"), seed=0)
    x, y = images(SMALL, batch=16), torch.arange(16) % 3
    losses = losses_of(model, x, y, lr=0.1)
    assert model.training
    assert losses[-1] < losses[0] / 2
