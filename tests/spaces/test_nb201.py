"""NAS-Bench-201, compared with the benchmark's tables, and its networks with simple twins."""

import random
from pathlib import Path

import hypothesis.strategies as st
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from torch import Tensor, nn

from foretell.errors import ForetellError
from foretell.spaces import Arch, NASBench201, enumerate_space, neighbours, sample, size
from foretell.spaces.nb201_network import EDGES, live_edges
from tests.support.optimising import losses_of

SPACE = NASBench201()
archs = st.tuples(*[st.integers(0, 4)] * 6)
variants = st.sampled_from(["benchmark", "reference"])
NONE, SKIP, CONV1, CONV3, POOL = range(5)


def table(shared: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(shared / "data" / "tables" / f"{name}.parquet")


@pytest.fixture(scope="module")
def accuracy(shared: Path) -> pd.DataFrame:
    return table(shared, "nb201_accuracy").set_index("index").sort_index()


def digits(text: str) -> Arch:
    return tuple(int(digit) for digit in text)


# --- names -----------------------------------------------------------------------------------


def test_the_space_has_15625_cells_of_24_neighbours() -> None:
    everything = list(enumerate_space(SPACE))
    assert len(everything) == len(set(everything)) == size(SPACE) == 15_625
    assert len(list(neighbours(SPACE, everything[77]))) == 24


def test_strings_and_indices_are_the_benchmarks_own(accuracy: pd.DataFrame) -> None:
    for index, row in accuracy.iterrows():
        arch = digits(row["ops"])
        assert SPACE.parse(str(index)) == SPACE.parse(row["ops"]) == arch
        assert SPACE.parse(row["arch_str"]) == arch
        assert SPACE.format(arch) == row["arch_str"]


def test_the_first_cells_of_the_numbering() -> None:
    assert [SPACE.parse(str(i)) for i in range(3)] == [*map(digits, ("421211", "334131", "433444"))]


GOOD = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "'' is not a NAS-Bench-201 cell; expected six operations, such as |nor_conv_3x3~0|"),
        ("15625", "'15625' is not a NAS-Bench-201 cell"),
        ("-1", "is not a NAS-Bench-201 cell"),
        ("012345", "is not a NAS-Bench-201 cell"),
        ("0123456", "is not a NAS-Bench-201 cell"),
        ("|none~0|+|none~0|none~1|", "is not a NAS-Bench-201 cell"),
        (f"{GOOD}+|none~0|", "is not a NAS-Bench-201 cell"),
        (GOOD[1:], "'none~0|' in .* does not give node 1 its 1 edges"),
        (GOOD[:-1], "does not give node 3 its 3 edges"),
        (GOOD.replace("|none~2", ""), "does not give node 3 its 3 edges"),
        (GOOD.replace("|none~2", "|none~2|none~3"), "does not give node 3 its 3 edges"),
        ("|+|none~0|none~1|+|none~0|none~1|none~2|", "does not give node 1 its 1 edges"),
        (GOOD.replace("none~2", "nor_conv3x3~2"), "'nor_conv3x3' .*did you mean 'nor_conv_3x3'"),
        (GOOD.replace("none~2", "lstm~2"), "'lstm' .* is not an operation; known: none, skip"),
        (GOOD.replace("none~2", "none~1"), "'none~1' .* should come from node 2"),
        (GOOD.replace("none~2", "none"), "'none' .* should come from node 2"),
        (GOOD.replace("none~0|none~1|+", "none~1|none~0|+"), "'none~1' .* should come from node 0"),
    ],
)
def test_an_invalid_text_is_refused_with_the_reason(text: str, complaint: str) -> None:
    with pytest.raises(ForetellError, match=complaint.replace("|", r"\|")) as error:
        SPACE.parse(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ({"channels": 0}, "channels is 0; give an integer of at least 1"),
        ({"cells": 2.0}, "cells is 2.0"),
        ({"classes": True}, "classes is True"),
        ({"resolution": "32"}, "resolution is '32'"),
        ({"variant": "referense"}, "did you mean 'reference'"),
    ],
)
def test_a_wrong_setting_is_refused(setting: dict[str, object], complaint: str) -> None:
    with pytest.raises(ForetellError, match=complaint):
        NASBench201(**setting)  # type: ignore[arg-type]


# --- isomorphism -----------------------------------------------------------------------------


def test_canonical_splits_the_space_as_the_published_classes_do(accuracy: pd.DataFrame) -> None:
    canonical = [SPACE.canonical(digits(ops)) for ops in accuracy["ops"]]
    pairs = set(zip(canonical, accuracy["iso_class"], strict=True))
    assert len(pairs) == len(set(canonical)) == accuracy["iso_class"].nunique() == 6_466


def test_canonical_is_the_smallest_of_6466_classes() -> None:
    canonical = {arch: SPACE.canonical(arch) for arch in enumerate_space(SPACE)}
    assert len(set(canonical.values())) == 6_466
    assert all(representative <= arch for arch, representative in canonical.items())


# --- parameters ------------------------------------------------------------------------------


def parameter_count(arch: Arch, space: NASBench201) -> int:
    """The number of trainable parameters, added up by hand, including those of dead edges."""
    c, reference = space.channels, space.variant == "reference"
    total = 9 * space.in_channels * c + 2 * c  # stem: convolution, BatchNorm
    for width in (c, 2 * c, 4 * c):
        per_edge = width if reference else 2 * width  # bias, or an affine BatchNorm
        conv1, conv3 = width**2 + per_edge, 9 * width**2 + per_edge
        total += space.cells * (arch.count(CONV1) * conv1 + arch.count(CONV3) * conv3)
    for width in (2 * c, 4 * c):  # residual blocks: conv_a, conv_b, shortcut, two BatchNorms
        total += 9 * width * width // 2 + 9 * width**2 + width * width // 2 + 4 * width
    return total + 8 * c + (4 * c + 1) * space.classes


def test_networks_have_the_number_of_parameters_counted_by_hand() -> None:
    rng = random.Random(0)
    for _ in range(100):
        space = NASBench201(
            channels=rng.choice([4, 16]),
            cells=rng.choice([1, 5]),
            classes=rng.choice([10, 100, 120]),
            in_channels=rng.choice([1, 3]),
            variant=rng.choice(["benchmark", "reference"]),
        )
        arch = sample(space, rng)
        model = space.build(arch, seed=0)
        assert sum(p.numel() for p in model.parameters()) == parameter_count(arch, space)


def test_parameter_counts_equal_the_benchmarks(accuracy: pd.DataFrame) -> None:
    accuracy = accuracy.assign(
        count=[parameter_count(digits(ops), SPACE) / 1e6 for ops in accuracy["ops"]]
    )
    off = accuracy[(accuracy["count"] - accuracy["params_m_cifar10"]).abs() > 1e-9]
    # The benchmark records a mean over runs, and for 204 cells some runs trained an isomorphic
    # cell with different dead convolutions, so that no count can equal the mean.
    assert len(off) == 204
    for _, row in off.iterrows():
        members = accuracy.loc[accuracy["iso_class"] == row["iso_class"], "count"]
        assert members.min() < row["params_m_cifar10"] < members.max()


def test_parameter_counts_equal_a_second_table(shared: Path, accuracy: pd.DataFrame) -> None:
    scores = table(shared, "nb201_zc_scores_725_timed").join(accuracy["ops"], on="index")
    classes = {"cifar10": 10, "cifar100": 100, "imagenet16": 120}
    for dataset, ops, wanted in zip(
        scores["dataset"], scores["ops"], scores["params"], strict=True
    ):
        count = parameter_count(digits(ops), NASBench201(classes=classes[dataset]))
        assert count / 1e6 == pytest.approx(wanted, abs=1e-9)


# --- networks --------------------------------------------------------------------------------


def small(variant: str, **changes: int) -> NASBench201:
    sizes = {"channels": 4, "cells": 1, "classes": 3, "in_channels": 2, "resolution": 8, **changes}
    return NASBench201(variant=variant, **sizes)  # type: ignore[arg-type]


def images(space: NASBench201, batch: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    shape = (space.in_channels, space.resolution, space.resolution)
    return torch.randn(batch, *shape, generator=generator)


def run_every_edge(cell: nn.Module, arch: Arch, x: Tensor) -> Tensor:
    """A simple twin of a cell: it computes all edges, and `none` as a product with zero."""
    nodes = [x]
    for target in (1, 2, 3):
        terms = []
        for edge, operation in zip(EDGES, arch, strict=True):
            source = nodes[edge[1]] if edge[0] == target else None
            if source is not None and operation == NONE:
                terms.append(source * 0)
            elif source is not None:
                terms.append(cell.get_submodule(f"edges.{edge[0]}<-{edge[1]}")(source))
        nodes.append(torch.stack(terms).sum(0))
    return nodes[3]


def run_twin(model: nn.Module, arch: Arch, x: Tensor) -> Tensor:
    for name, block in model.named_children():
        for cell in block if name.startswith("stage") else ():
            x = run_every_edge(cell, arch, x)
        x = x if name.startswith("stage") else block(x)
    return x


@settings(max_examples=60, deadline=None)
@given(archs, variants)
def test_skipped_edges_do_not_change_the_output(arch: Arch, variant: str) -> None:
    space = small(variant, cells=2)
    model = space.build(arch, seed=1).double()
    x = images(space).double()
    torch.testing.assert_close(model(x), run_twin(model, arch, x), rtol=1e-9, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(archs, variants)
def test_dead_edges_can_be_replaced_by_none(arch: Arch, variant: str) -> None:
    space = small(variant)
    live = live_edges(arch, zero_fed=variant == "reference")
    pruned = tuple(op if edge in live else NONE for edge, op in zip(EDGES, arch, strict=True))
    x = images(space)
    assert torch.equal(space.build(arch, seed=2)(x), space.build(pruned, seed=2)(x))


def test_live_edges_by_hand() -> None:
    node_1_leads_nowhere = (CONV3, CONV3, NONE, NONE, NONE, CONV1)
    assert live_edges(node_1_leads_nowhere, zero_fed=True) == ((2, 0), (3, 2))
    node_1_has_no_input = (NONE, SKIP, CONV3, NONE, CONV1, SKIP)
    assert live_edges(node_1_has_no_input, zero_fed=False) == ((2, 0), (3, 2))
    assert live_edges(node_1_has_no_input, zero_fed=True) == ((2, 0), (2, 1), (3, 1), (3, 2))
    zeros_travel = (NONE, NONE, SKIP, POOL, NONE, CONV3)
    assert live_edges(zeros_travel, zero_fed=False) == ((3, 0),)
    assert live_edges((NONE,) * 6, zero_fed=True) == ()


@settings(max_examples=20, deadline=None)
@given(archs)
def test_an_edge_has_the_same_weights_whatever_the_others_are(arch: Arch) -> None:
    space = small("benchmark")
    one = space.build(arch, seed=3).state_dict()
    other = space.build((CONV3,) * 6, seed=3).state_dict()
    alike = [key for key in one if key in other and one[key].shape == other[key].shape]
    assert "head.4.weight" in alike
    assert all(torch.equal(one[key], other[key]) for key in alike)


@pytest.mark.parametrize("variant", ["benchmark", "reference"])
@pytest.mark.parametrize("arch", [(NONE,) * 6, (CONV3, CONV3, SKIP, NONE, NONE, NONE)])
def test_a_disconnected_cell_gives_zeros_and_keeps_autograd(variant: str, arch: Arch) -> None:
    space = small(variant)
    model = space.build(arch, seed=0)
    x = images(space).requires_grad_()
    cell = model.get_submodule("stage1.0")
    assert torch.equal(cell(x.repeat(1, 2, 1, 1)), torch.zeros(3, 4, 8, 8))
    F.cross_entropy(model(x), torch.tensor([0, 1, 1])).backward()
    assert model.get_parameter("head.4.bias").grad.abs().sum() > 0  # type: ignore[union-attr]
    assert x.grad is not None
    assert torch.equal(x.grad, torch.zeros_like(x))


@pytest.mark.parametrize("resolution", [8, 7, 5, 3, 1])
def test_any_resolution_works(resolution: int) -> None:
    space = small("benchmark", in_channels=1, resolution=resolution)
    assert space.build((CONV3,) * 6, seed=0)(images(space)).shape == (3, 3)


def test_the_shortcut_halves_an_even_image() -> None:
    space = small("benchmark")
    block = space.build((CONV3,) * 6, seed=0).get_submodule("reduction1")
    x = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    main = block.get_submodule("conv_b")(block.get_submodule("conv_a")(x))
    windows = x.reshape(2, 4, 4, 2, 4, 2).mean((3, 5))
    shortcut = F.conv2d(windows, block.get_parameter("shortcut.weight"))
    torch.testing.assert_close(block(x), shortcut + main)


def norms(model: nn.Module, within: str) -> list[nn.BatchNorm2d]:
    found = (m for name, m in model.named_modules() if name.startswith(within))
    return [module for module in found if isinstance(module, nn.BatchNorm2d)]


def test_the_variants_differ_in_bias_and_norm() -> None:
    benchmark, reference = (small(v).build((CONV3,) * 6, 0) for v in ("benchmark", "reference"))
    conv = "stage1.0.edges.1<-0.1"
    assert benchmark.get_submodule(conv).bias is None
    assert reference.get_submodule(conv).bias is not None
    assert all(n.affine and n.track_running_stats for n in norms(benchmark, "stage"))
    assert not any(n.affine or n.track_running_stats for n in norms(reference, "stage"))
    for model in (benchmark, reference):
        assert len(norms(model, "stage")) == 18
        assert all(n.affine and n.track_running_stats for n in norms(model, "reduction"))


def test_the_reduction_norms_of_the_reference_are_marked() -> None:
    for variant, marked in (("benchmark", 0), ("reference", 4)):
        model = small(variant).build((CONV3,) * 6, seed=0)
        kept = [m for m in model.modules() if getattr(m, "kept_in_reference_synflow", False)]
        assert len(kept) == marked
        assert all(isinstance(m, nn.BatchNorm2d) for m in kept)
        assert not any(
            getattr(m, "kept_in_reference_synflow", False) for m in norms(model, "stage")
        )


def test_a_network_is_in_training_mode_and_can_be_trained() -> None:
    space = small("benchmark")
    model = space.build((CONV1, POOL, CONV3, SKIP, NONE, CONV3), seed=0)
    x, y = images(space, batch=16), torch.arange(16) % 3
    losses = losses_of(model, x, y, lr=0.1)
    assert model.training
    assert losses[-1] < losses[0] / 2


def test_the_paths_of_the_graph_are_those_of_the_cell() -> None:
    """Through nodes 0, 1, 2 and 3 of the cell there are four paths from 0 to 3."""
    names, arrows = SPACE.graph((NONE, SKIP, CONV1, CONV3, POOL, CONV3))
    assert (names[0], names[-1], len(names)) == ("input", "output", 8)

    def paths(node: int) -> list[tuple[int, ...]]:
        if node == 7:
            return [()]
        return [(n, *rest) for a, n in arrows if a == node for rest in paths(n)]

    edges = [tuple(EDGES[n - 1] for n in path[:-1]) for path in paths(0)]
    assert {tuple(source for _, source in path) for path in edges} == {
        (0,),
        (0, 1),
        (0, 2),
        (0, 1, 2),
    }
    assert all(path[-1][0] == 3 for path in edges)
