"""The networks of NAS-Bench-101, compared with the published sizes and with a simple twin."""

import random
from pathlib import Path
from typing import TypeAlias

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from numpy.typing import NDArray
from torch import Tensor, nn

from foretell.spaces import Arch, NASBench101, neighbours, sample
from foretell.spaces.initialise import initialise, normal_fan_out
from foretell.spaces.nb101_network import node_widths
from tests.support.optimising import losses_of

SPACE = NASBench101()
SMALL = NASBench101(channels=7, stacks=2, modules=2, classes=3, resolution=8)
CONV3, CONV1, POOL = range(3)
Matrix: TypeAlias = NDArray[np.int64]
archs = st.integers(0, 2**32).map(lambda seed: sample(SPACE, random.Random(seed)))


def images(space: NASBench101, batch: int = 3) -> Tensor:
    shape = (space.in_channels, space.resolution, space.resolution)
    return torch.randn(batch, *shape, generator=torch.Generator().manual_seed(0))


def pruned_matrix(arch: Arch) -> tuple[Matrix, list[int]]:
    """The adjacency matrix of the live nodes, and their numbers."""
    matrix = np.zeros((7, 7), dtype=np.int64)
    matrix[np.triu_indices(7, 1)] = arch[5:]
    reach = np.linalg.matrix_power(np.eye(7, dtype=np.int64) + matrix, 6) > 0
    live = [node for node in range(7) if reach[0, node] and reach[node, 6]]
    return matrix[np.ix_(live, live)], live


def simple_widths(matrix: Matrix, width: int) -> list[int]:
    """Deal out the channels of the output one by one; other nodes are as wide as what they feed."""
    last = len(matrix) - 1
    widths = [0] * last + [width]
    sharing = [node for node in range(1, last) if matrix[node, last]]
    for channel in range(width if sharing else 0):
        widths[sharing[channel % len(sharing)]] += 1
    for node in reversed(range(1, last)):
        if node not in sharing:
            widths[node] = max(widths[t] for t in range(node + 1, last) if matrix[node, t])
    return widths


# --- parameters ------------------------------------------------------------------------------


def parameter_count(arch: Arch, space: NASBench101) -> int:
    """The number of trainable parameters, added up by hand."""
    matrix, live = pruned_matrix(arch)
    wide_in, width = space.channels, space.channels
    total = conv_norm(space.in_channels, width, 3)
    for _ in range(space.stacks):
        widths = simple_widths(matrix, width)
        for _ in range(space.modules):
            for place, node in enumerate(live):
                if place and matrix[0, place]:
                    total += conv_norm(wide_in, widths[place], 1)
                if 0 < place < len(live) - 1 and arch[node - 1] != POOL:
                    kernel = 3 if arch[node - 1] == CONV3 else 1
                    total += conv_norm(widths[place], widths[place], kernel)
            wide_in = width
        width *= 2
    return total + (wide_in + 1) * space.classes


def conv_norm(wide_in: int, wide_out: int, kernel: int) -> int:
    return kernel**2 * wide_in * wide_out + 2 * wide_out


def test_networks_have_the_number_of_parameters_counted_by_hand() -> None:
    rng = random.Random(0)
    for _ in range(50):
        space = NASBench101(
            channels=rng.choice([5, 16, 31]),
            stacks=rng.choice([1, 3]),
            modules=rng.choice([1, 3]),
            classes=rng.choice([10, 100]),
            in_channels=rng.choice([1, 3]),
        )
        arch = sample(space, rng)
        model = space.build(arch, seed=0)
        assert sum(p.numel() for p in model.parameters()) == parameter_count(arch, space)


@pytest.fixture(scope="module")
def params(shared: Path) -> dict[Arch, int]:
    table = pd.read_parquet(shared / "data" / "tables" / "nb101_20001.parquet")
    found = {}
    for row in table.itertuples():
        rows = (row.adjacency[i * row.n + i + 1 : (i + 1) * row.n] for i in range(row.n))
        found[SPACE.parse(f"{''.join(rows)}:{row.ops}")] = row.params
    return found


def test_parameter_counts_equal_the_benchmarks(params: dict[Arch, int]) -> None:
    assert len(params) == 20_001
    for arch, published in params.items():
        assert parameter_count(arch, SPACE) == published


def test_full_size_networks_have_the_published_number_of_parameters(
    params: dict[Arch, int],
) -> None:
    for arch, published in random.Random(0).sample(sorted(params.items()), 10):
        model = SPACE.build(arch, seed=0)
        assert sum(p.numel() for p in model.parameters()) == published


def test_widths_by_hand() -> None:
    three_share = [(0, 1), (0, 2), (0, 3), (1, 4), (2, 4), (3, 4)]
    assert node_widths(three_share, 4, 128) == {4: 128, 1: 43, 2: 43, 3: 42}
    behind_the_narrower = [(0, 1), (1, 3), (1, 2), (2, 4), (3, 4)]
    assert node_widths(behind_the_narrower, 4, 7) == {4: 7, 2: 4, 3: 3, 1: 4}
    assert node_widths([(0, 6)], 6, 9) == {6: 9}


# --- the forward pass ------------------------------------------------------------------------


def unit(x: Tensor, layers: nn.Module) -> Tensor:
    """Convolution, BatchNorm over the batch, ReLU."""
    weight = layers.get_parameter("0.weight")
    assert torch.equal(layers.get_parameter("1.weight"), torch.ones(len(weight)).double())
    x = F.conv2d(x, weight, padding=weight.shape[-1] // 2)
    mean, variance = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), keepdim=True, correction=0)
    return ((x - mean) / (variance + 1e-5) ** 0.5).clamp(min=0)


def run_cell(x: Tensor, cell: nn.Module, arch: Arch, width: int) -> Tensor:
    matrix, live = pruned_matrix(arch)
    last, widths = len(live) - 1, simple_widths(matrix, width)
    values = [x]
    for place in range(1, last):
        total = torch.zeros(len(x), widths[place], *x.shape[2:], dtype=x.dtype)
        for source in range(1, place):
            if matrix[source, place]:
                total = total + values[source][:, : widths[place]]
        if matrix[0, place]:
            total = total + unit(x, cell.get_submodule(f"projections.{live[place]}"))
        if arch[live[place] - 1] == POOL:
            padded = F.pad(total, (1, 1, 1, 1), value=-torch.inf)
            values.append(padded.unfold(2, 3, 1).unfold(3, 3, 1).amax((4, 5)))
        else:
            values.append(unit(total, cell.get_submodule(f"operations.{live[place]}")))
    joined = [values[source] for source in range(1, last) if matrix[source, last]]
    out = torch.cat(joined, 1) if joined else torch.zeros(()).double()
    return out + unit(x, cell.get_submodule("projections.6")) if matrix[0, last] else out


def run_twin(model: nn.Module, arch: Arch, x: Tensor, space: NASBench101) -> Tensor:
    x = unit(x, model.get_submodule("stem"))
    for stack in range(space.stacks):
        if stack > 0:
            x = x.unfold(2, 2, 2).unfold(3, 2, 2).amax((4, 5))
        for module in range(space.modules):
            cell = model.get_submodule(f"stack{stack + 1}.{module}")
            x = run_cell(x, cell, arch, space.channels * 2**stack)
    head = model.get_submodule("head.2")
    return F.linear(x.mean((2, 3)), head.get_parameter("weight"), head.get_parameter("bias"))


@settings(max_examples=40, deadline=None)
@given(archs)
def test_networks_compute_what_their_twin_computes(arch: Arch) -> None:
    model, x = SMALL.build(arch, seed=1).double(), images(SMALL).double()
    expected = run_twin(model, arch, x, SMALL)
    assert expected.shape == (3, 3)
    torch.testing.assert_close(model(x), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("text", ["1:", "101:2", "111:0", "111111:20", "110100010011010:0122"])
def test_small_cells_compute_what_their_twin_computes(text: str) -> None:
    arch = SMALL.parse(text)
    model, x = SMALL.build(arch, seed=1).double(), images(SMALL).double()
    torch.testing.assert_close(model(x), run_twin(model, arch, x, SMALL), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("resolution", [7, 5, 3, 2, 1])
def test_any_resolution_works(resolution: int) -> None:
    space = NASBench101(channels=4, in_channels=1, classes=3, modules=1, resolution=resolution)
    assert space.build(space.parse("110011:02"), seed=0)(images(space)).shape == (3, 3)


# --- weights ---------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(archs)
def test_dead_parts_change_nothing(arch: Arch) -> None:
    """Dead edges can be removed, and dead nodes can have another operation."""
    _, live = pruned_matrix(arch)
    pairs = [(s, t) for s in range(7) for t in range(s + 1, 7)]
    kept = (bit and s in live and t in live for (s, t), bit in zip(pairs, arch[5:], strict=True))
    operations = (o if n in live else (o + 1) % 3 for n, o in enumerate(arch[:5], start=1))
    other = (*operations, *map(int, kept))
    one, two = (SMALL.build(a, seed=2).state_dict() for a in (arch, other))
    assert list(one) == list(two)
    assert all(torch.equal(one[key], two[key]) for key in one)


@settings(max_examples=30, deadline=None)
@given(archs, st.integers(0, 2**32))
def test_a_node_has_the_same_weights_whatever_the_others_are(arch: Arch, seed: int) -> None:
    other = random.Random(seed).choice(list(neighbours(SMALL, arch)))
    one, two = (SMALL.build(a, seed=3).state_dict() for a in (arch, other))
    alike = [key for key in one if key in two and one[key].shape == two[key].shape]
    assert {"stem.0.weight", "head.2.weight"} <= set(alike)
    assert all(torch.equal(one[key], two[key]) for key in alike)


def test_weights_are_initialised_as_in_the_published_code() -> None:
    space = NASBench101(channels=64, stacks=2, modules=1)
    model = space.build(space.parse("111111:01"), seed=0)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            area = module.kernel_size[0] * module.kernel_size[1]
            expected = (2 / (area * module.out_channels)) ** 0.5
            values = module.weight / expected
            assert abs(values.std().item() - 1) < 4 / (2 * values.numel()) ** 0.5
            assert abs(values.mean().item()) < 4 / values.numel() ** 0.5
            assert values.abs().max() > 2.5  # uniform numbers would not exceed 1.7
        if isinstance(module, nn.BatchNorm2d):
            assert module.eps == 1e-5
            assert module.momentum == pytest.approx(1 - 0.997)
            assert torch.equal(module.weight, torch.ones_like(module.weight))
            assert torch.equal(module.bias, torch.zeros_like(module.bias))
    head = model.get_submodule("head.2")
    assert head.get_parameter("weight").std().item() == pytest.approx(0.01, rel=0.1)
    assert not head.get_parameter("bias").any()


def test_normal_fan_out_counts_the_output_channels_of_any_convolution() -> None:
    for make in (nn.Conv1d, nn.Conv3d, nn.ConvTranspose2d):
        layer = make(2, 300, 3)
        initialise(layer, seed=0, draw=normal_fan_out)
        area = layer.weight[0, 0].numel()
        assert layer.weight.std().item() == pytest.approx((2 / (area * 300)) ** 0.5, rel=0.1)
        assert layer.bias is not None
        assert not layer.bias.any()


def test_a_network_is_in_training_mode_and_can_be_trained() -> None:
    space = NASBench101(channels=16, stacks=2, modules=2, classes=3, resolution=8)
    model = space.build(space.parse("111000010010011:0120"), seed=0)
    x, y = images(space, batch=16), torch.arange(16) % 3
    losses = losses_of(model, x, y, lr=0.3)
    assert model.training
    assert losses[-1] < losses[0] / 2
