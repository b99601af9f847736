"""The engine's optimisations change no score beyond rounding errors."""

import math

import pytest
import torch

from foretell import explain, score
from foretell.proxies import PROXIES
from tests.support.models import MODELS, make

LIMITS = {torch.float64: 1e-8, torch.float32: 4e-2}
"""As in docs/precision.md; the slope of torch's Hardsigmoid is 1/6 in float32."""


@pytest.mark.parametrize("dtype", LIMITS, ids=str)
@pytest.mark.parametrize("name", MODELS)
def test_a_score_is_the_same_without_any_shortcut(name: str, dtype: torch.dtype) -> None:
    model, batch = make(name, dtype)
    quick, plain = (score(model, batch, list(PROXIES), faster=faster) for faster in (True, False))
    for proxy, one in plain.items():
        if "twice" in (one.why or ""):
            continue  # a tangent exists even if torch has no second derivative
        limit = LIMITS[dtype] if proxy == "grasp" else min(LIMITS[dtype], 8e-3)
        assert quick[proxy].why == one.why, proxy
        assert quick[proxy].value == pytest.approx(one.value, rel=limit, nan_ok=True), proxy
        assert math.isnan(one.value) == bool(one.why)


def test_without_shortcuts_the_curvature_is_that_of_a_double_backward() -> None:
    model, batch = make("conv_bn_relu")
    assert "tangents" in explain("grasp", model, batch).curvature
    assert "double backward" in explain("grasp", model, batch, faster=False).curvature
