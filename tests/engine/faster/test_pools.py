"""Average pools as convolutions, compared with torch's own for every setting."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from foretell.engine.curvature.normed import statistics_of
from foretell.engine.faster.channels import moments
from foretell.engine.faster.pools import avg_pool2d

SETTINGS: list[dict[str, Any]] = [
    {"kernel_size": 3, "stride": 1, "padding": 1, "count_include_pad": False},
    {"kernel_size": 3, "stride": 1, "padding": 1},
    {"kernel_size": 2},
    {"kernel_size": (3, 1), "stride": (2, 1), "padding": (1, 0), "count_include_pad": False},
    {"kernel_size": [2, 4], "stride": [], "padding": [1]},
    {"kernel_size": 3, "stride": 2, "ceil_mode": True},
    {"kernel_size": 2, "stride": 2, "divisor_override": 3},
    {"kernel_size": 5, "stride": 1, "padding": 2},
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_pool_and_its_gradient_are_those_of_torch(
    settings: dict[str, Any], dtype: torch.dtype
) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 7, 8, generator=generator, dtype=dtype, requires_grad=True)
    ours, theirs = avg_pool2d(x, **settings), F.avg_pool2d(x, **settings)
    torch.testing.assert_close(ours, theirs)
    direction = torch.randn(theirs.shape, generator=generator, dtype=dtype)
    (by_ours,) = torch.autograd.grad(ours, x, direction)
    (by_theirs,) = torch.autograd.grad(theirs, x, direction)
    torch.testing.assert_close(by_ours, by_theirs)


def test_a_single_image_is_pooled_too() -> None:
    x = torch.arange(16.0).view(1, 4, 4)
    assert torch.equal(avg_pool2d(x, 2), F.avg_pool2d(x, 2))


def test_moments_keep_their_digits_beside_a_large_mean() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(16, 3, 5, 5, generator=generator) + 1000
    var, mean = moments(x)
    exact = torch.var_mean(x.double(), [0, 2, 3], correction=0)
    torch.testing.assert_close(var.double(), exact[0], rtol=1e-5, atol=0)
    torch.testing.assert_close(mean.double(), exact[1], rtol=1e-6, atol=0)


def test_statistics_are_known_of_batch_norm_only() -> None:
    x = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()
    found = statistics_of(F.batch_norm(x, None, None, training=True, eps=1e-9), x)
    assert found is not None
    var, mean = moments(x.detach())
    torch.testing.assert_close(found[0], mean)
    torch.testing.assert_close(found[1], var.rsqrt())
    assert statistics_of(x * 2, x) is None
