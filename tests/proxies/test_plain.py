"""plain: which terms cancel."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from foretell import score
from tests.support.models import make


def test_plain_is_blind_to_what_is_normalised() -> None:
    model, (images, labels) = make("conv_bn_relu", torch.float64)
    for module in model:
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 1e-12
    whole = score(model, (images, labels), ["plain", "snip"])
    loss = F.cross_entropy(model(images), labels)
    last = model[8].weight
    alone = float((last * torch.autograd.grad(loss, last)[0]).sum().detach())
    assert whole["plain"].value == pytest.approx(alone, rel=1e-9)
    assert whole["snip"].value > 5 * abs(alone)
