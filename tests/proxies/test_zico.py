"""zico: the halves of the batch, and batches that are too small for it."""

import math

import pytest
import torch
import torch.nn.functional as F

from foretell import score
from foretell.engine.passes import PASSES
from tests.support.models import make
from tests.support.scores import subject_of, why


@pytest.mark.parametrize("name", ["mlp", "residual_bn", "attention", "gru"])
def test_each_weight_adds_at_least_one(name: str) -> None:
    """(|a| + |b|) / |a − b| ≥ 1, so zico is at least Σ log(number of gradients that differ)."""
    model, batch = make(name, torch.float64)
    found = PASSES["halves"](subject_of(model, batch), set(), {})["half_grads"]
    differing = [int((g[0] != g[1]).sum()) for g in found.values()]
    assert score(model, batch, "zico")["zico"].value >= sum(math.log(n) for n in differing if n)


def test_an_odd_sample_is_the_second_halfs() -> None:
    model, (images, labels) = make("residual", torch.float64)
    found = PASSES["halves"](subject_of(model, (images[:5], labels[:5])), set(), {})["half_grads"]
    for index, rows in enumerate((slice(0, 2), slice(2, 5))):
        loss = F.cross_entropy(model(images[:5][rows]), labels[:5][rows])
        grad = torch.autograd.grad(loss, model.get_parameter("first.weight"))[0]
        assert torch.allclose(found["first.weight"][index], grad, rtol=1e-12, atol=0)


def test_zico_of_too_few() -> None:
    model, (images, labels) = make("residual")
    assert why(model, (images[:1], labels[:1]), "zico") == (
        "a batch of one sample has no halves; give at least two"
    )
    twice = torch.cat([images[:3], images[:3]]), torch.cat([labels[:3], labels[:3]])
    assert why(model, twice, "zico") == "no gradient differs between the two halves of the batch"
    single, (pixels, marks) = make("one_by_one")
    assert why(single, (pixels[:3], marks[:3]), "zico") == (
        "half of the batch is too small for BatchNorm; give at least four samples"
    )
    assert score(single, (pixels[:4], marks[:4]), "zico")["zico"].why is None


def test_the_halves_have_draws_of_their_own() -> None:
    """Equal halves differ only in their dropout masks."""
    model, (images, labels) = make("dropout")
    twice = torch.cat([images[:3], images[:3]]), torch.cat([labels[:3], labels[:3]])
    assert score(model, twice, "zico")["zico"].why is None
