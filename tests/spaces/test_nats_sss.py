"""NATS-Bench's size space, compared with published counts, and its networks with simple twins."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from foretell.errors import ForetellError
from foretell.spaces import Arch, NATSSize, enumerate_space
from foretell.spaces.nats_sss import WIDTHS
from tests.support.twins import norm

SPACE = NATSSize()
SMALL = NATSSize(classes=3, in_channels=2, resolution=9)
archs = st.tuples(*[st.integers(0, 7)] * 5)


def test_every_network_is_read_back_from_its_text() -> None:
    everything = [SPACE.format(arch) for arch in enumerate_space(SPACE)]
    assert len(set(everything)) == 32_768
    assert everything[0] == "8:8:8:8:8"
    assert all(SPACE.format(SPACE.parse(text)) == text for text in everything[::97])


@pytest.mark.parametrize(
    "text", ["", "8:8:8:8", "8:8:8:8:8:8", "8:8:8:8:9", "8-8-8-8-8", "08:8:8:8:8"]
)
def test_an_invalid_text_is_refused_with_the_reason(text: str) -> None:
    with pytest.raises(ForetellError, match=r"NATS-Bench's size space; .*8:64:32:8:16"):
        SPACE.parse(text)


@pytest.mark.parametrize(
    ("text", "parameters"),
    [("8:8:8:8:8", 11_714), ("8:8:16:40:40", 107_826), ("64:64:64:64:64", 713_674)],
)
def test_networks_have_the_benchmarks_parameters(text: str, parameters: int) -> None:
    model = SPACE.build(SPACE.parse(text), 0)
    assert sum(p.numel() for p in model.parameters()) == parameters


@settings(max_examples=20, deadline=None)
@given(archs)
def test_networks_compute_what_their_twin_computes(arch: Arch) -> None:
    model = SMALL.build(arch, seed=1).double()
    weights = iter([p for p in model.parameters() if p.dim() == 4])
    given_images = torch.randn(3, 2, 9, 9, generator=torch.Generator().manual_seed(0)).double()

    def convolved(x: Tensor, stride: int = 1) -> Tensor:
        weight = next(weights)
        return norm(F.conv2d(x.relu(), weight, stride=stride, padding=weight.shape[-1] // 2))

    x = norm(F.conv2d(given_images, next(weights), padding=1))
    for layer, option in enumerate(arch):
        width = x.shape[1]
        if layer in (1, 3):
            residual = convolved(convolved(x, stride=2))
            x = (
                F.conv2d(F.avg_pool2d(x, 2, ceil_mode=x.shape[-1] % 2 == 1), next(weights))
                + residual
            )
        else:
            first = convolved(x)
            second = convolved(x) + convolved(first)
            skip = x if width == WIDTHS[option] else norm(F.conv2d(x, next(weights)))
            x = skip + convolved(first) + convolved(second)
    assert next(weights, None) is None
    *_, weight, bias = model.parameters()
    torch.testing.assert_close(
        model(given_images), norm(x).relu().mean((2, 3)) @ weight.T + bias, rtol=1e-9, atol=1e-9
    )
