"""AutoFormer's vision transformers, compared with published counts and a simple twin."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from foretell import Batch, score
from foretell.errors import ForetellError
from foretell.proxies import PROXIES
from foretell.spaces import AutoFormer
from foretell.spaces.autoformer_network import FARTHEST, Distances
from tests.support.twins import TokenByToken

SMALL: dict[str, Any] = {"classes": 3, "in_channels": 2, "resolution": 6, "patch": 2, "shrink": 24}
TEXT = "216/3:3.5/4:3/3:4" + "/4:3.5" * 9
PUBLISHED = {
    "tiny": (
        "192/3:3.5/3:3.5/3:3/3:3.5/3:3/3:3/3:4/3:4/3:3.5/3:4/4:3.5/3:4/3:3.5",
        5.8,
    ),
    "small": (
        "384/6:3/6:3.5/5:3/7:3.5/5:4/5:4/5:4/6:4/6:4/7:4/7:4/6:3.5/7:4",
        22.9,
    ),
    "base": (
        "576/9:3.5/9:3.5/9:4/9:3.5/9:4/10:3.5/9:3.5/9:3/10:4/9:4/10:3/9:4/9:3/10:3.5",
        53.7,
    ),
}
"""The networks that the authors found, and the millions of parameters in their repository."""


def images(count: int = 2, side: int = 6) -> Tensor:
    return torch.randn(count, 2, side, side, generator=torch.Generator().manual_seed(0)).double()


@pytest.mark.parametrize("variant", PUBLISHED)
def test_published_networks_have_their_parameters(variant: str) -> None:
    space, (text, millions) = AutoFormer(variant=variant), PUBLISHED[variant]
    model = space.build(space.parse(text), 0)
    count = sum(one.numel() for one in model.parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.07)


def test_a_network_computes_what_its_twin_computes() -> None:
    space = AutoFormer(**SMALL)
    model = space.build(space.parse(TEXT), 0).double()
    generator = torch.Generator().manual_seed(0)
    for one in model.parameters():
        one.data = torch.randn(one.shape, generator=generator).double() / 2
    weights = dict(model.named_parameters())
    expected = torch.stack([twin(image, weights) for image in images()])
    torch.testing.assert_close(model(images()), expected)


def twin(image: Tensor, weights: dict[str, Tensor]) -> Tensor:
    """The logits of one image, token by token and head by head."""

    layers = TokenByToken(weights)

    def vector(name: str, one: int, other: int) -> Tensor:
        """For a query and a key, patches being numbered row by row from 1."""
        rows, columns = weights[f"{name}.rows.weight"], weights[f"{name}.columns.weight"]
        if not one or not other:
            return rows[0] + columns[0]
        down = (other - 1) // 3 - (one - 1) // 3
        right = (other - 1) % 3 - (one - 1) % 3
        return rows[down + FARTHEST + 1] + columns[right + FARTHEST + 1]

    def attend(
        name: str, t: int, query: Tensor, keys: list[Tensor], values: list[Tensor]
    ) -> Tensor:
        keys = [key + vector(f"{name}.near_keys", t, s) for s, key in enumerate(keys)]
        values = [value + vector(f"{name}.near_values", t, s) for s, value in enumerate(values)]
        shares = (torch.stack(keys) @ query / len(query) ** 0.5).softmax(0)
        return shares @ torch.stack(values)

    kernel = weights["patches.weight"].flatten(1)
    tiles = [image[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2] for i in range(3) for j in range(3)]
    xs = [kernel @ tile.flatten() + weights["patches.bias"] for tile in tiles]
    xs = [x + weights["places.weight"][t] for t, x in enumerate([weights["first.weight"][0], *xs])]
    for number, heads in enumerate([3, 4, 3] + [4] * 9):
        xs = layers.block(f"blocks.{number}", xs, heads, attend)
    return layers.linear("output", torch.stack([layers.norm("norm", x) for x in xs[1:]]).mean(0))


def test_far_patches_share_the_vector_of_the_largest_distance() -> None:
    distances = Distances(2, side=20)
    nn.init.normal_(distances.rows.weight, generator=torch.Generator().manual_seed(0))
    nn.init.zeros_(distances.columns.weight)
    found = distances()
    assert found.shape == (401, 401, 2)
    assert found[1, 1 + 20 * FARTHEST].equal(found[1, 1 + 20 * 19])
    assert not found[1, 1 + 20 * FARTHEST].equal(found[1, 1 + 20 * (FARTHEST - 1)])
    assert found[1, 1 + 20 * 19].equal(distances.rows.weight[-1])
    assert found[1 + 20 * 19, 1].equal(distances.rows.weight[1])


def test_all_scores_but_two_exist() -> None:
    """The batch is too small for the two."""
    space = AutoFormer(**SMALL)
    batch = Batch(images(4), torch.tensor([0, 1, 2, 0]))
    found = score(space.build(space.parse(TEXT), 0).double(), batch, [*PROXIES])
    assert {name for name, one in found.items() if math.isnan(one.value)} == {"rmin", "near"}


def test_images_of_another_size_are_refused() -> None:
    model = AutoFormer(**SMALL).build(AutoFormer(**SMALL).parse(TEXT), 0).double()
    with pytest.raises(ForetellError, match="the images have 4 x 4 patches, and the network 3 x 3"):
        model(images(side=8))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"variant": "large"}, "variant is 'large'; give tiny or small or base"),
        ({"resolution": 8}, "patch is 16 and the images have 8 pixels; give patch=2 or the like"),
        ({"classes": 0}, "autoformer: classes is 0; give an integer of at least 1"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ForetellError, match=message):
        AutoFormer(**settings)
