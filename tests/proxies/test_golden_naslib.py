"""Scores compared with those of NASLib and of ZiCo's authors (bench/golden_naslib.py)."""

import json
import math

import numpy as np
import pytest
import torch
from torch import Generator, Tensor, nn

from foretell import score
from foretell.batch import Batch
from foretell.engine.kaiming import normal_like
from foretell.engine.passes.gaussian import disturbed, gaussian_model, pooled_features
from tests.support import paths
from tests.support.golden_naslib import Row, rebuild
from tests.support.scores import subject_of, values

GOLDEN = paths.GOLDEN / "naslib.json"


ROWS: list[Row] = json.loads(GOLDEN.read_text())["rows"]


CALLS = {f"{row['model']}, {row['num_classes']} classes": row for row in ROWS}


@pytest.mark.parametrize("call", CALLS)
def test_their_code_gives_the_same(call: str) -> None:
    row = CALLS[call]
    if row["model"].startswith("torchvision"):
        pytest.importorskip("torchvision")
    model, images, labels = rebuild(row)
    expected = {k: v for k, v in row["values"].items() if k != "zen"}
    expected["synflow_bn"] = math.log(expected["synflow_bn"])
    ours = values(score(model, (images, labels), list(expected), layers="conv2d_linear"))
    assert ours == pytest.approx(expected, rel=1e-5, abs=0)


def counts_of_batch_norms(model: nn.Module, images: Tensor) -> list[int]:
    """The number of values per channel that each BatchNorm normalises, in order of execution."""
    counts: list[int] = []
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    hooks = [
        norm.register_forward_pre_hook(lambda _, x: counts.append(x[0].numel() // x[0].shape[1]))
        for norm in norms
    ]
    model(images)
    for hook in hooks:
        hook.remove()
    return counts


@pytest.mark.parametrize("call", CALLS)
def test_zen_is_theirs_but_for_the_running_average(call: str) -> None:
    """They compute 0.81·1 + 0.09·v + 0.1·v′ with the unbiased variances v, v′ of x and x + 0.01ε.

    With their draws, the feature change and all variances can be compared with their value.
    """
    row = CALLS[call]
    if row["model"].startswith("torchvision"):
        pytest.importorskip("torchvision")
    model, images, labels = rebuild(row, torch.float32)
    subject = subject_of(model, (images, labels), layers="conv2d_linear")
    generator = Generator().manual_seed(row["zen_seed"])
    drawn = gaussian_model(model, "conv2d_linear", generator, torch.float32)
    x = Batch(normal_like(images, generator, torch.float32))
    near = x.each(lambda t: disturbed(t, generator))
    features, variances = pooled_features(subject, drawn, x, 0)
    moved, variances_near = pooled_features(subject, drawn, near, 0)
    theirs = float((features - moved).abs().flatten(1).sum(1).mean().log())
    counts = counts_of_batch_norms(model, images)
    for v, v_near, n in zip(variances, variances_near, counts, strict=True):
        running = 0.81 + (0.09 * v + 0.1 * v_near) * n / (n - 1)
        theirs += float(running.mean().log()) / 2
    assert theirs == pytest.approx(row["values"]["zen"], rel=1e-5)


def test_reading_running_averages_costs_a_network_its_batch_norms() -> None:
    """As the docstring of zen says, their code subtracts about 0.8 per BatchNorm."""
    assert math.log(0.19) / 2 == pytest.approx(-0.83, abs=0.005)
    row = next(row for row in ROWS if row["model"].endswith("resnet18"))
    pytest.importorskip("torchvision")
    model, images, labels = rebuild(row, torch.float32)
    ours = [score(model, (images, labels), "zen", seed=s)["zen"].value for s in range(3)]
    norms = sum(isinstance(m, nn.BatchNorm2d) for m in model.modules())
    shift = np.mean(ours) - row["values"]["zen"]
    assert shift == pytest.approx(0.83 * norms, rel=0.1)
    assert np.std(ours) < 0.5


def test_the_bound_is_most_of_the_score() -> None:
    """The bound is at least three quarters of the score, as the docstring of zico says."""
    for row in ROWS:
        if row["model"].startswith("torchvision"):
            pytest.importorskip("torchvision")
        model, _, _ = rebuild(row)
        tensors = [p for p in model.parameters() if p.ndim > 1]
        bound = sum(math.log(p.numel()) for p in tensors)
        assert 0.73 < bound / row["values"]["zico"] < 0.85
