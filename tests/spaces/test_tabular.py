"""Networks for tables, layer by layer and compared with a simple twin."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from foretell.spaces import Tabular, enumerate_space

SPACE = Tabular(classes=3, features=5)
ROWS = torch.randn(7, 5, generator=torch.Generator().manual_seed(0)).double()


def test_there_are_288_different_networks() -> None:
    everything = list(enumerate_space(SPACE))
    assert len(everything) == 384
    assert len({SPACE.canonical(arch) for arch in everything}) == 288


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("mlp,1,64,no,0.2,1", 5 * 64 + 64 + 64 * 3 + 3),
        ("mlp,2,64,LN,0.0,1", 5 * 64 + 64 + 64 * 64 + 64 + 2 * 128 + 64 * 3 + 3),
        ("resnet,2,64,no,0.0,2", 5 * 64 + 64 + 2 * (2 * 64 * 128 + 192) + 64 * 3 + 3),
        ("resnet,1,64,BN,0.0,1", 5 * 64 + 64 + 2 * (64 * 64 + 64) + 2 * 128 + 64 * 3 + 3),
    ],
)
def test_networks_have_the_parameters_of_their_layers(text: str, parameters: int) -> None:
    model = SPACE.build(SPACE.parse(text), 0)
    assert sum(one.numel() for one in model.parameters()) == parameters


@pytest.mark.parametrize("norm", ["no", "LN", "BN"])
@pytest.mark.parametrize("kind", ["mlp", "resnet"])
def test_networks_compute_what_their_twin_computes(kind: str, norm: str) -> None:
    model = SPACE.build(SPACE.parse(f"{kind},4,64,{norm},0.0,2"), 0).double()
    parameters = [one for one in model.parameters() if one.dim() == 2]
    biases = [bias for name, bias in model.named_parameters() if bias.dim() == 1 and "bias" in name]
    biases = [bias for bias in biases if bias.any()]  # those of norms are zero
    layers = list(zip(parameters, biases, strict=True))

    def normed(x: Tensor) -> Tensor:
        if norm == "no":
            return x
        over = 0 if norm == "BN" else 1
        mean, variance = x.mean(over, keepdim=True), x.var(over, keepdim=True, correction=0)
        return (x - mean) / (variance + 1e-5) ** 0.5

    first, *middle, last = layers
    x = F.linear(ROWS, *first)
    if kind == "mlp":
        for layer in middle:
            x = F.linear(normed(x).relu(), *layer)
    else:
        for one, other in zip(middle[::2], middle[1::2], strict=True):
            x = x + F.linear(F.linear(normed(x), *one).relu(), *other)
    torch.testing.assert_close(model(ROWS), F.linear(normed(x).relu(), *last))


def test_dropout_comes_after_each_activation_and_each_block() -> None:
    for text, count in (("mlp,4,64,no,0.2,1", 4), ("resnet,4,64,no,0.2,1", 8)):
        model = SPACE.build(SPACE.parse(text), 0)
        rates = [one.p for one in model.modules() if isinstance(one, torch.nn.Dropout)]
        assert rates == [0.2] * count
