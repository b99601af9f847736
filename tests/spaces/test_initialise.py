"""`initialise`, compared with PyTorch's default initialisation."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import nn

from foretell.errors import ForetellError
from foretell.spaces.initialise import initialise, normal

LAYERS = {
    "linear": lambda: nn.Linear(300, 100),
    "conv1d": lambda: nn.Conv1d(16, 64, 5),
    "conv2d": lambda: nn.Conv2d(16, 64, 3),
    "grouped": lambda: nn.Conv2d(64, 256, 3, groups=8),
    "depthwise": lambda: nn.Conv2d(512, 512, 3, groups=512),
    "conv3d": lambda: nn.Conv3d(8, 32, 3),
    "transposed": lambda: nn.ConvTranspose2d(32, 16, 3),
}


@pytest.mark.parametrize("name", LAYERS)
def test_weights_and_biases_are_distributed_as_pytorch_draws_them(name: str) -> None:
    with torch.random.fork_rng():
        theirs = LAYERS[name]()
    ours = LAYERS[name]()
    initialise(ours, seed=1)
    for parameter in ("weight", "bias"):
        wanted, found = getattr(theirs, parameter), getattr(ours, parameter)
        few = wanted.numel() < 1000
        assert found.abs().max().item() == pytest.approx(
            wanted.abs().max().item(), rel=0.25 if few else 0.02
        )
        assert found.std().item() == pytest.approx(wanted.std().item(), rel=0.5 if few else 0.1)
        assert abs(found.mean().item()) < 0.4 * found.std().item()


@pytest.mark.parametrize(
    "make", [lambda: nn.BatchNorm2d(5), lambda: nn.GroupNorm(1, 5), lambda: nn.LayerNorm(5)]
)
def test_normalisation_layers_are_reset(make: type[nn.Module]) -> None:
    fresh, used = make().state_dict(), make()
    with torch.no_grad():
        for tensor in used.state_dict().values():
            tensor.fill_(7)
    initialise(used, seed=0)
    assert all(torch.equal(fresh[key], value) for key, value in used.state_dict().items())


def two_layers() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))


@settings(deadline=None)
@given(st.integers(0, 2**64), st.integers(0, 2**64))
def test_every_seed_and_name_has_its_own_numbers(seed: int, other: int) -> None:
    one, two = two_layers(), two_layers()
    initialise(one, seed)
    initialise(two, other)
    assert torch.equal(one[0].weight, two[0].weight) == (seed == other)
    assert not torch.equal(one[0].weight, one[1].weight)
    assert not torch.equal(one[0].weight[0], one[0].bias)


def test_a_weight_does_not_depend_on_the_other_layers() -> None:
    small, large = nn.Sequential(nn.Linear(4, 4)), two_layers()
    initialise(small, seed=3)
    initialise(large, seed=3)
    assert torch.equal(small[0].weight, large[0].weight)


def test_precision_and_memory_layout_do_not_change_the_numbers() -> None:
    plain, other = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)
    other.to(torch.float64, memory_format=torch.channels_last)
    initialise(plain, seed=0)
    initialise(other, seed=0)
    assert torch.equal(plain.weight.double(), other.weight)


def test_the_numbers_of_a_seed_never_change() -> None:
    layer = nn.Linear(2, 1)
    initialise(layer, seed=0)
    assert layer.weight.tolist() == [[0.6387031078338623, 0.6902557015419006]]


def test_an_unknown_layer_is_named() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.PReLU())
    with pytest.raises(ForetellError, match="'1' is of type PReLU"):
        initialise(model, seed=0)


def test_a_parameter_of_two_layers_has_the_values_for_the_first() -> None:
    alone, tied = (
        nn.Sequential(nn.Embedding(3, 2)),
        nn.Sequential(nn.Embedding(3, 2), nn.Linear(2, 3)),
    )
    tied[1].weight = tied[0].weight
    initialise(alone, seed=0)
    initialise(tied, seed=0)
    assert torch.equal(alone[0].weight, tied[1].weight)


def test_normal_weights_have_their_deviation_and_no_bias() -> None:
    layer = nn.Linear(300, 300)
    initialise(layer, 0, normal(0.02))
    assert layer.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert not layer.bias.any()
