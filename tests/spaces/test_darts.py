"""The DARTS space, compared with published counts, and its networks with simple twins."""

import random
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from foretell.errors import ForetellError
from foretell.spaces import DARTS, Arch, graph_of, sample
from foretell.spaces.darts_network import OPERATIONS
from tests.support.twins import norm

SPACE = DARTS()
SMALL = DARTS(channels=2, cells=4, classes=3, in_channels=2, resolution=9)
archs = st.integers(0, 2**32).map(lambda seed: sample(SPACE, random.Random(seed)))
GENOTYPE = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
    "('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), "
    "('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), "
    "('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"
)
"""DARTS_V2 in the authors' code."""


@pytest.fixture(scope="module")
def published(shared: Path) -> pd.DataFrame:
    """Parameters, in millions, of NAS-Bench-Suite-Zero's sample."""
    return pd.read_parquet(shared / "data" / "tables" / "nb301_zc_sample_725.parquet")


# --- names and counts --------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(archs)
def test_every_network_is_read_back_from_its_text(arch: Arch) -> None:
    assert SPACE.parse(SPACE.format(arch)) == arch
    lists = [
        [(int(source), OPERATIONS.index(name)) for name, source in (e.split("~") for e in cell)]
        for cell in (c.replace("|", "+").split("+") for c in SPACE.format(arch).split("/"))
    ]
    backwards = [[edge for i in range(0, 8, 2) for edge in cell[i : i + 2][::-1]] for cell in lists]
    assert SPACE.parse(str(lists)) == SPACE.parse(str(backwards)) == arch


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sep_conv_3x3~0+skip_connect~1",
        "/".join(["|".join(["sep_conv_3x3~0+skip_connect~0"] * 4)] * 2),
        "/".join(["|".join(["sep_conv_3x3~0+skip_connect~2"] * 4)] * 2),
        "/".join(["|".join(["sep_conv_9x9~0+skip_connect~1"] * 4)] * 2),
        "/".join(["|".join(["sep_conv_3x3~0+skip_connect~x"] * 4)] * 2),
        "/".join(["|".join(["sep_conv_3x3~0+skip_connect~1"] * 4)] * 3),
        "[[], []]",
        "[" * 500,
        "[[(0, 9)] * 8]",
        "Genotype(normal=[], reduce=[])",
        "Genotype(normal=[('sep_conv_3x3', 0)], normal_concat=[2])",
    ],
)
def test_what_is_not_a_network_is_refused(text: str) -> None:
    with pytest.raises(ForetellError, match=r"is not a network of DARTS; expected two cells"):
        SPACE.parse(text)


def test_the_network_of_the_paper_has_the_published_parameters() -> None:
    with torch.device("meta"):
        model = SPACE.build(SPACE.parse(GENOTYPE), 0)
    assert sum(p.numel() for p in model.parameters()) == 3_349_342


def test_networks_have_the_published_parameters(published: pd.DataFrame) -> None:
    """NAS-Bench-Suite-Zero built them without the weights of BatchNorm in the operations."""
    space = DARTS(channels=32, cells=8)
    for row in published.sample(30, random_state=0).to_dict("records"):
        with torch.device("meta"):
            model = space.build(space.parse(row["arch"]), 0)
        counted = sum(
            p.numel()
            for name, p in model.named_parameters()
            if not (".operations." in name and p.dim() == 1)
        )
        assert counted == round(row["params"] * 1e6)


@settings(max_examples=20, deadline=None)
@given(archs)
def test_the_graph_has_every_operation_once(arch: Arch) -> None:
    labels, edges = graph_of(SPACE, arch)
    assert sum(label in OPERATIONS for label in labels) == 16
    assert len(edges) == 32
    assert all(source < target for source, target in edges)


# --- the forward pass ----------------------------------------------------------------------------


def reduced(x: Tensor, weights: Iterator[Tensor]) -> Tensor:
    moved = torch.zeros_like(x)
    moved[:, :, :-1, :-1] = x[:, :, 1:, 1:]
    return norm(torch.cat([F.conv2d(p.relu(), next(weights), stride=2) for p in (x, moved)], 1))


def operated(name: str, x: Tensor, stride: int, weights: Iterator[Tensor]) -> Tensor:
    if name == "skip_connect":
        return x if stride == 1 else reduced(x, weights)
    if name == "max_pool_3x3":
        return F.max_pool2d(x, 3, stride, 1)
    if name == "avg_pool_3x3":
        ones = F.avg_pool2d(torch.ones_like(x), 3, stride, 1)
        return F.avg_pool2d(x, 3, stride, 1) / ones
    dilation = 2 if name.startswith("dil") else 1
    for step in (stride, 1)[: 3 - dilation]:
        deep, mixed = next(weights), next(weights)
        pad = dilation * (deep.shape[-1] // 2)
        x = F.conv2d(x.relu(), deep, None, step, pad, dilation, groups=x.shape[1])
        x = norm(F.conv2d(x, mixed))
    return x


def run_twin(model: nn.Module, text: str, x: Tensor) -> Tensor:
    weights = iter([p for p in model.parameters() if p.dim() == 4])
    before = last = norm(F.conv2d(x, next(weights), padding=1))
    for number in range(4):
        halves = number in (1, 2)
        first = (
            reduced(before, weights)
            if number in (2, 3)
            else norm(F.conv2d(before.relu(), next(weights)))
        )
        values = [first, norm(F.conv2d(last.relu(), next(weights)))]
        for node in text.split("/")[halves].split("|"):
            terms = [edge.split("~") for edge in node.split("+")]
            values.append(
                sum(  # type: ignore[arg-type]
                    operated(name, values[int(i)], 2 if halves and int(i) < 2 else 1, weights)
                    for name, i in terms
                )
            )
        before, last = last, torch.cat(values[2:], 1)
    assert next(weights, None) is None
    *_, weight, bias = model.parameters()
    return last.mean((2, 3)) @ weight.T + bias


def images(space: DARTS) -> Tensor:
    shape = (3, space.in_channels, space.resolution, space.resolution)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@settings(max_examples=20, deadline=None)
@given(archs)
def test_networks_compute_what_their_twin_computes(arch: Arch) -> None:
    model, x = SMALL.build(arch, seed=1).double(), images(SMALL)
    twin = run_twin(model, SMALL.format(arch), x)
    torch.testing.assert_close(model(x), twin, rtol=1e-8, atol=1e-8)


@settings(max_examples=20, deadline=None)
@given(archs)
def test_canonical_has_the_same_nodes(arch: Arch) -> None:
    """Each node is described by what it computes, down to the inputs of the cell."""
    canonical = SPACE.canonical(arch)
    assert SPACE.canonical(canonical) == canonical
    for one, two in zip(*(SPACE.format(a).split("/") for a in (arch, canonical)), strict=True):
        assert sorted(computed(one)) == sorted(computed(two))


def computed(cell: str) -> list[str]:
    values = ["first", "second"]
    for node in cell.split("|"):
        terms = [edge.split("~") for edge in node.split("+")]
        values.append(str(sorted(f"{name}({values[int(i)]})" for name, i in terms)))
    return values


def test_nodes_in_another_order_are_the_same_network() -> None:
    rest = "|sep_conv_3x3~1+skip_connect~0|sep_conv_3x3~0+max_pool_3x3~1"
    one, two = "skip_connect~0+skip_connect~1", "sep_conv_5x5~0+max_pool_3x3~1"
    normal, moved = f"{one}|{two}{rest}", f"{two}|{one}{rest}"
    archs = [SPACE.parse(f"{cell}/{normal}") for cell in (normal, moved)]
    assert archs[0] != archs[1]
    assert SPACE.canonical(archs[0]) == SPACE.canonical(archs[1])
