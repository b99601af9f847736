"""TransNAS-Bench-101's spaces, compared with published counts, and networks with simple twins."""

import math
import random
from collections.abc import Iterator
from pathlib import Path

import hypothesis.strategies as st
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from torch import Tensor, nn

from foretell import score
from foretell.errors import ForetellError
from foretell.spaces import Arch, TransNASMacro, TransNASMicro, enumerate_space, sample
from foretell.spaces.tnb101_tasks import TASKS
from tests.support.optimising import losses_of
from tests.support.twins import norm

MICRO, MACRO = TransNASMicro(), TransNASMacro()
SMALL = TransNASMicro(channels=4, blocks=2, classes=3, in_channels=2, resolution=64)
SKELETONS = TransNASMacro(channels=4, blocks=2, classes=3, in_channels=2, resolution=64)
cells = st.tuples(*[st.integers(0, 3)] * 6)
skeletons = st.integers(0, 2**32).map(lambda seed: sample(MACRO, random.Random(seed)))


@pytest.fixture(scope="module")
def published(shared: Path) -> pd.DataFrame:
    """Parameters, in millions, of NAS-Bench-Suite-Zero's sample of cells on seven tasks."""
    return pd.read_parquet(shared / "data" / "tables" / "tnb101_micro_zc_sample.parquet")


@pytest.fixture(scope="module")
def results(shared: Path) -> pd.DataFrame:
    """The result of each cell on each task."""
    table = pd.read_parquet(shared / "data" / "tables" / "tnb101_micro.parquet")
    return table.pivot(index="arch", columns="task", values="metric")


def images(space: TransNASMicro | TransNASMacro, batch: int = 3) -> Tensor:
    shape = (batch, space.in_channels, space.resolution, space.resolution)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


# --- names and counts --------------------------------------------------------------------------


def test_spaces_have_the_published_sizes() -> None:
    assert len(list(enumerate_space(MICRO))) == 4_096
    assert len(list(enumerate_space(MACRO))) == 3_256
    assert len({MICRO.canonical(arch) for arch in enumerate_space(MICRO)}) == 1_948


@pytest.mark.parametrize("space", [MICRO, MACRO], ids=lambda space: space.name)
def test_every_architecture_is_read_back_from_its_text(
    space: TransNASMicro | TransNASMacro,
) -> None:
    for arch in enumerate_space(space):
        text = space.format(arch)
        whole = f"64-41414-{text}" if space is MICRO else f"64-{text}-basic"
        assert space.parse(text) == space.parse(whole) == arch


@pytest.mark.parametrize(
    "text", ["", "1_02_334", "1_02_33", "64-1234-basic", "1_02_333_1", "10233"]
)
def test_what_is_not_a_cell_is_refused(text: str) -> None:
    with pytest.raises(ForetellError, match=r"not a cell of TransNAS-Bench-101; .*1_02_333"):
        MICRO.parse(text)


@pytest.mark.parametrize("text", ["", "123", "1234567", "1235", "1111", "2222", "3333", "64-1234"])
def test_what_is_not_a_skeleton_is_refused(text: str) -> None:
    """Four doublings, or no halving, are not in the space; `64-1234` is."""
    if text == "64-1234":
        assert MACRO.parse(text) == MACRO.parse("1234")
        return
    with pytest.raises(ForetellError, match=r"not a skeleton of TransNAS-Bench-101; .*64-1234"):
        MACRO.parse(text)


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ({"channels": 0}, "tnb101_micro: channels is 0; give an integer of at least 1"),
        ({"task": "class_objects"}, "no task is called 'class_objects'; did you mean"),
        ({"task": 3}, "no task is called 3"),
    ],
)
def test_a_wrong_setting_is_refused(setting: dict[str, object], complaint: str) -> None:
    with pytest.raises(ForetellError, match=complaint):
        TransNASMicro(**setting)  # type: ignore[arg-type]


def test_networks_have_the_published_parameters(published: pd.DataFrame) -> None:
    """NAS-Bench-Suite-Zero built all tasks, with 100 objects and 63 scenes."""
    classes = {"class_object": 100, "class_scene": 63}
    for row in published.groupby("task").sample(6, random_state=0).to_dict("records"):
        task = row["task"]
        space = TransNASMicro(task=task, classes=classes.get(task, TASKS[task].classes))
        with torch.device("meta"):
            model = space.build(space.parse(row["arch"]), 0)
        assert sum(p.numel() for p in model.parameters()) == round(row["params"] * 1e6)


def test_canonical_joins_cells_whose_results_differ_as_two_trainings_do(
    results: pd.DataFrame,
) -> None:
    """The benchmark trained every cell, also those that are the same network."""
    classes = [MICRO.format(MICRO.canonical(MICRO.parse(arch))) for arch in results.index]
    within = (results - results.groupby(classes).transform("mean")).std()
    assert (within / results.std()).max() < 0.2


# --- the forward pass ----------------------------------------------------------------------------


def stem_of(x: Tensor, weights: Iterator[Tensor]) -> Tensor:
    x = norm(F.conv2d(x, next(weights), stride=2, padding=1))
    return norm(F.conv2d(x.relu(), next(weights), stride=2, padding=1))


def edge_of(
    operation: int, x: Tensor, wider: int, stride: int, weights: Iterator[Tensor]
) -> Tensor:
    if operation == 0:
        return x[:, :, ::stride, ::stride].repeat(1, wider, 1, 1) * 0
    if operation == 1 and wider == stride == 1:
        return x
    if operation == 1:
        moved = torch.zeros_like(x)
        moved[:, :, :-1, :-1] = x[:, :, 1:, 1:]
        halves = [F.conv2d(part.relu(), next(weights), stride=stride) for part in (x, moved)]
        return norm(torch.cat(halves, 1))
    return norm(F.conv2d(x.relu(), next(weights), stride=stride, padding=operation // 3))


def run_cells(model: nn.Module, arch: Arch, x: Tensor) -> Tensor:
    """All edges, also those that are dead."""
    weights = iter([p for p in model.backbone.parameters() if p.dim() == 4])  # type: ignore[union-attr, operator]
    x = stem_of(x, weights)
    for number in range(10):
        wider = stride = 2 if number in (0, 4, 8) else 1
        first = edge_of(arch[0], x, wider, stride, weights)
        second = edge_of(arch[1], x, wider, stride, weights)
        second = second + edge_of(arch[2], first, 1, 1, weights)
        last = edge_of(arch[3], x, wider, stride, weights)
        last = last + edge_of(arch[4], first, 1, 1, weights)
        x = last + edge_of(arch[5], second, 1, 1, weights)
    assert next(weights, None) is None
    return classified(model, x)


def run_skeleton(model: nn.Module, text: str, x: Tensor) -> Tensor:
    weights = iter([p for p in model.backbone.parameters() if p.dim() == 4])  # type: ignore[union-attr, operator]
    x = stem_of(x, weights)
    for digit in text:
        for wider, stride in ((digit in "24", digit in "34"), (False, False)):
            inner = norm(F.conv2d(x.relu(), next(weights), stride=1 + stride, padding=1))
            inner = norm(F.conv2d(inner.relu(), next(weights), padding=1))
            if wider or stride:
                x = norm(F.conv2d(x, next(weights), stride=1 + stride))
            x = x + inner
    assert next(weights, None) is None
    return classified(model, x)


def classified(model: nn.Module, x: Tensor) -> Tensor:
    *_, weight, bias = model.parameters()
    return x.mean((2, 3)) @ weight.T + bias


@settings(max_examples=30, deadline=None)
@given(cells)
def test_cells_compute_what_their_twin_computes(arch: Arch) -> None:
    model, x = SMALL.build(arch, seed=1).double(), images(SMALL).double()
    torch.testing.assert_close(model(x), run_cells(model, arch, x), rtol=1e-9, atol=1e-9)


@settings(max_examples=20, deadline=None)
@given(skeletons)
def test_skeletons_compute_what_their_twin_computes(arch: Arch) -> None:
    model, x = SKELETONS.build(arch, seed=1).double(), images(SKELETONS).double()
    twin = run_skeleton(model, SKELETONS.format(arch), x)
    torch.testing.assert_close(model(x), twin, rtol=1e-9, atol=1e-9)


@settings(max_examples=20, deadline=None)
@given(cells)
def test_canonical_computes_the_same_with_the_same_weights(arch: Arch) -> None:
    """The weights of a live edge are found by the edge, or by the one it changes places with."""
    canonical = SMALL.canonical(arch)
    one, two = (SMALL.build(a, seed=0).double() for a in (arch, canonical))
    swapped = dict(zip(EDGES, ("2<-0", "1<-0", "2<-1", "3<-0", "3<-2", "3<-1"), strict=True))
    x, given_to = images(SMALL).double(), one.state_dict()
    for renamed in ({edge: edge for edge in EDGES}, swapped):
        weights = {
            name.replace(e := edge_in(name), renamed.get(e, e)): w for name, w in given_to.items()
        }
        known = {name: w for name, w in weights.items() if name in two.state_dict()}
        if len(known) == len(two.state_dict()) and fits(known, two):
            two.load_state_dict(known)
            if torch.allclose(one(x), two(x), rtol=1e-9, atol=1e-9):
                return
    raise AssertionError(f"{arch} and {canonical} are not the same network")


EDGES = ("1<-0", "2<-0", "2<-1", "3<-0", "3<-1", "3<-2")


def edge_in(name: str) -> str:
    """The edge in the name of a weight, or text that is in no name."""
    return next((edge for edge in EDGES if edge in name), "no edge")


def fits(weights: dict[str, Tensor], model: nn.Module) -> bool:
    return all(weights[name].shape == own.shape for name, own in model.state_dict().items())


# --- tasks ---------------------------------------------------------------------------------------

OUTPUTS = {
    "class_object": (3, 5),
    "class_scene": (3, 5),
    "jigsaw": (3, 5),
    "room_layout": (3, 5),
    "segmentsemantic": (3, 5, 64, 64),
    "normal": (3, 2, 64, 64),
    "autoencoder": (3, 2, 64, 64),
}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("text", ["3_33_333", "2413", "143413", "11123"])
def test_every_task_is_scored_with_its_own_loss(task: str, text: str) -> None:
    cell = "_" in text
    space = (TransNASMicro if cell else TransNASMacro)(
        channels=4, blocks=1, classes=5, in_channels=2, resolution=64, task=task, features=64
    )
    model, x = space.build(space.parse(text), 0), images(space)
    if task == "jigsaw":
        x = x.unfold(2, 22, 21).unfold(3, 22, 21).flatten(2, 3).transpose(1, 2)
    outputs = model(x)
    assert outputs.shape == OUTPUTS[task]
    targets = outputs.detach().tanh() if TASKS[task].loss != "cross_entropy" else None
    if targets is None:
        targets = (
            torch.arange(3).reshape(3, *[1] * (outputs.ndim - 2)).expand(3, *outputs.shape[2:])
        )
    found = score(model, (x, targets), ["snip", "jacob_cov", "params"], loss=TASKS[task].loss)
    assert all(math.isfinite(one.value) for one in found.values()), found


def test_a_resolution_that_cannot_be_restored_is_refused() -> None:
    space = TransNASMicro(task="normal", resolution=48)
    with pytest.raises(ForetellError, match="resolution is 48; for normal, give a multiple of 32"):
        space.build(space.parse("3_33_333"), 0)


def test_images_are_not_taken_for_probabilities_of_classes() -> None:
    space = TransNASMicro(channels=4, blocks=1, task="autoencoder", resolution=32, features=32)
    x = images(space).tanh()
    model = space.build(space.parse("3_33_333"), 0)
    with pytest.raises(ForetellError, match=r"not the probabilities of the classes.*mse or l1"):
        score(model, (x, x), ["snip"])


def test_a_network_can_be_trained() -> None:
    model = SMALL.build(SMALL.parse("3_13_231"), seed=0)
    losses = losses_of(model, images(SMALL, batch=16), torch.arange(16) % 3, lr=0.1)
    assert model.training
    assert losses[-1] < losses[0] / 2
