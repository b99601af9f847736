"""The pass over blocks: gains and spectra by hand, the mode, strides, and reasons."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from foretell import score
from foretell.engine.passes import PASSES
from foretell.engine.passes.blocks import Scatter, in_training, largest_singular_value, unshuffled
from foretell.errors import Undefined
from tests.support.models import AT_BLOCKS, conv, head, make
from tests.support.scores import subject_of, why

BOTH = {"block_spectra", "block_gains"}


class Block(nn.Module):
    """A block that applies a function of its choice; its layers are not used."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.unused = nn.Sequential(conv(4, 4), nn.ReLU(), conv(4, 4))
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        """The function's result."""
        return self.function(x)


def net(*functions: Callable[[Tensor], Tensor], norm: bool = True) -> nn.Module:
    """A stem, blocks of these functions, and a head."""
    stem = nn.Sequential(conv(3, 4), nn.BatchNorm2d(4) if norm else nn.Identity())
    return nn.Sequential(stem, *map(Block, functions), *head(4))


def batch(size: int = 8, samples: int = 6) -> tuple[Tensor, Tensor]:
    """Images and labels."""
    images = torch.randn(samples, 3, size, size, generator=torch.Generator().manual_seed(0))
    return images, torch.arange(samples) % 4


def found(model: nn.Module, given: Any = None, **settings: Any) -> dict[str, Any]:
    """Both quantities."""
    return PASSES["blocks"](subject_of(model, given or batch(), **settings), BOTH, {})


def test_a_gain_is_the_factor_of_a_linear_block() -> None:
    """Signs are independent, so g_in g_outᵀ has the mean 2·1, but for the noise of few samples."""
    gains = found(net(lambda x: 2 * x, lambda x: x / 2), batch(size=32, samples=64))["block_gains"]
    assert gains.tolist() == pytest.approx([2, 0.5], rel=0.05)


def test_blocks_that_hand_signs_on_have_the_lowest_score() -> None:
    """This is the authors' −∞, which ranks the same; in evaluation mode, they are left out."""
    keep = lambda x: x  # noqa: E731
    double = lambda x: 2 * x  # noqa: E731
    with_norm, without = net(keep, double), net(keep, double, norm=False)
    assert found(with_norm)["block_gains"][0] == torch.inf
    assert score(with_norm, batch(), "az_trainability")["az_trainability"].value == 2 - 1e6
    assert len(found(without)["block_gains"]) == 1
    assert score(without, batch(), "az_trainability")["az_trainability"].value > -2
    same = why(net(keep, keep, norm=False), batch(), "az_trainability")
    assert same == "every block passes the gradient on unchanged"


def test_a_gradient_of_zero_is_a_gain_of_zero() -> None:
    value = score(net(lambda x: 0 * x, lambda x: x + 1), batch(), "az_trainability")
    assert value["az_trainability"].value == 2 - 1e6  # of the second block, which hands signs on
    gains = found(net(lambda x: 0 * x, lambda x: 2 * x))["block_gains"]
    assert gains[0] == 0


def test_features_that_do_not_vary_have_no_entropy() -> None:
    model = net(lambda x: 0 * x, lambda x: x + 1)
    for proxy in ("az_expressivity", "az_progressivity", "pr"):
        assert why(model, batch(), proxy) == "the output of the stem or of a block does not vary"


def test_expressivity_is_highest_if_all_channels_vary_alike() -> None:
    """The bound Σ log(channels): a stem without correlations, and a block that keeps its output."""
    model = net(lambda x: 2 * x, lambda x: 3 * x)
    value = score(model, batch(size=32, samples=64), ["az_expressivity", "pr"])
    assert value["az_expressivity"].value <= 3 * math.log(4)
    assert 3 <= value["pr"].value <= 12


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_positions_of_a_stride_become_channels(stride: int) -> None:
    features = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    expected = nn.functional.pixel_unshuffle(features, stride)
    found = unshuffled(features, torch.zeros(2, 5, 8 // stride, 8 // stride), "b")
    assert torch.equal(found, expected)


def test_positions_of_one_and_three_dimensions_too() -> None:
    assert unshuffled(torch.zeros(2, 3, 8), torch.zeros(2, 5, 4), "b").shape == (2, 6, 4)
    whole = unshuffled(torch.zeros(2, 3, 4, 6, 2), torch.zeros(2, 5, 2, 3, 1), "b")
    assert whole.shape == (2, 24, 2, 3, 1)
    assert unshuffled(torch.zeros(2, 3), torch.zeros(2, 5), "b").shape == (2, 3)


@pytest.mark.parametrize("after", [(2, 5, 3, 3), (2, 5, 16, 16), (2, 5, 8), (1, 5, 8, 8)], ids=str)
def test_a_stride_that_is_not_whole_is_named(after: tuple[int, ...]) -> None:
    with pytest.raises(
        Undefined, match=r"the block layer1 turns features .* not an integer stride"
    ):
        unshuffled(torch.zeros(2, 3, 8, 8), torch.zeros(after), "layer1")


def test_without_gains_there_are_spectra_all_the_same() -> None:
    model = net(lambda x: 2 * x, lambda x: nn.functional.max_pool2d(x, 3, 2), lambda x: 2 * x)
    assert "not an integer stride" in why(model, batch(), "az_trainability")
    assert score(model, batch(), "az_expressivity")["az_expressivity"].why is None


def test_the_mode_is_training_with_batch_norm_alone() -> None:
    assert in_training(net(abs))
    assert not in_training(net(abs, norm=False))


@pytest.mark.parametrize("norm", [True, False])
def test_that_is_the_mode_that_blocks_run_in(norm: bool) -> None:
    def checked(x: Tensor) -> Tensor:
        assert model[0].training == norm
        return 2 * x

    model = net(checked, checked, norm=norm).train(not norm)
    assert len(found(model)["block_gains"]) == 2


def test_the_channels_of_tokens_and_of_maps_with_channels_last_are_the_last_axis() -> None:
    class Last(nn.Module):
        """Maps as [N, H, W, C] behind a stem, as in Swin."""

        def __init__(self) -> None:
            super().__init__()
            block = lambda: nn.Sequential(nn.Linear(5, 5), nn.GELU(), nn.Linear(5, 5))  # noqa: E731
            self.stem, self.blocks = conv(3, 5), nn.Sequential(block(), block())
            self.classify = nn.Linear(5, 4)

        def forward(self, x: Tensor) -> Any:
            return self.classify(self.blocks(self.stem(x).permute(0, 2, 3, 1)).mean((1, 2)))

    spectra = found(Last())["block_spectra"]
    assert [len(values) for values in spectra] == [5, 5, 5]
    model, given = make("patches")
    assert [len(values) for values in found(model, given)["block_spectra"]] == [8, 8, 8, 8]


def test_token_numbers_stay_as_they_are() -> None:
    """Of a language model, the scores are those of the tokens of the minibatch."""

    class Language(nn.Module):
        """Embeddings and two blocks."""

        def __init__(self) -> None:
            super().__init__()
            block = lambda: nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 8))  # noqa: E731
            self.embed, self.blocks = nn.Embedding(9, 8), nn.ModuleList([block(), block()])
            self.classify = nn.Linear(8, 4)

        def forward(self, ids: Tensor) -> Any:
            x = self.embed(ids)
            for block in self.blocks:
                x = x + block(x)
            return self.classify(x.mean(1))

    model, labels = Language(), torch.arange(6) % 4
    ids = torch.randint(9, (6, 5), generator=torch.Generator().manual_seed(0))
    one, other = (score(model, (x, labels), list(AT_BLOCKS)) for x in (ids, (ids + 1) % 9))
    for proxy in AT_BLOCKS:
        assert one[proxy].why is None
        assert one[proxy].value != other[proxy].value
    first = found(model, (ids, labels))["block_spectra"][0]
    table = model.embed.weight.detach()[ids].flatten(0, 1).double()
    expected = torch.linalg.eigvalsh((table - table.mean(0)).T @ (table - table.mean(0)) / 30)
    assert torch.allclose(first, expected.clamp(min=0), atol=1e-6)


def test_the_images_do_not_matter_nor_do_the_weights() -> None:
    """Both are drawn; the table of running statistics is unused in training mode."""
    model, (images, labels) = make("cells")
    before = score(model, (images, labels), list(AT_BLOCKS))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(7)
    after = score(model, (images * 3 + 1, labels), list(AT_BLOCKS))
    assert {k: v.value for k, v in before.items()} == {k: v.value for k, v in after.items()}


def test_scatter_of_parts_is_that_of_the_whole() -> None:
    rows = torch.randn(20, 3, generator=torch.Generator().manual_seed(0)).double() + 5
    parts = Scatter.of(rows[:3])
    for part in (rows[3:4], rows[4:]):
        parts.add(Scatter.of(part))
    whole = Scatter.of(rows)
    assert parts.count == whole.count
    assert torch.allclose(parts.mean, whole.mean, rtol=1e-12)
    assert torch.allclose(parts.total, whole.total, rtol=1e-12)


def test_the_largest_singular_value_of_either_shape() -> None:
    matrix = torch.randn(3, 7, generator=torch.Generator().manual_seed(0)).double()
    for one in (matrix, matrix.T):
        expected = torch.linalg.svdvals(one)[0]
        assert largest_singular_value(one) == pytest.approx(float(expected), rel=1e-12)
