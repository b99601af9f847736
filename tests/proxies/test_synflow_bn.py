"""synflow_bn: when it equals synflow, and when it is undefined."""

import pytest
import torch

from foretell import score
from tests.support.models import make
from tests.support.scores import why


def test_synflow_bn_is_synflow_where_nothing_is_normalised() -> None:
    for name in ("mlp", "conv_in_place", "residual", "dropout"):
        model, batch = make(name, torch.float64)
        both = score(model, batch, ["synflow", "synflow_bn"])
        assert both["synflow_bn"].value == pytest.approx(both["synflow"].value, rel=1e-12)


def test_synflow_bn_without_anything_to_average() -> None:
    model, batch = make("one_by_one")
    assert why(model, batch, "synflow_bn") == (
        "BatchNorm has only one value per channel in the flow of one sample"
    )
    assert score(model, batch, "synflow_bn", batch_norm="frozen")["synflow_bn"].why is None
