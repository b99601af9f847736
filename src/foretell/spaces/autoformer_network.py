"""The vision transformers of AutoFormer.

Chen et al. 2021, arXiv:2107.00651: a class token, learned positions, layers with attention by
relative positions (Shaw et al. 2018, arXiv:1803.02155; Wu et al. 2021, arXiv:2107.14222), and a
classifier of the mean of all tokens but the class token, as the authors trained them.
"""

import torch
from torch import Tensor, nn

from foretell.errors import ForetellError
from foretell.spaces.attention import PreNormBlock, Projections
from foretell.spaces.initialise import Conv2d, Embedding, Linear

__all__ = ["VisionTransformer"]

FARTHEST = 14
"""Larger distances between patches are treated as this one."""


class VisionTransformer(nn.Module):
    """Images [N, C, H, W] -> logits [N, classes]; `layers` are heads and feed-forward widths."""

    def __init__(
        self,
        width: int,
        layers: list[tuple[int, int]],
        *,
        size: int,
        classes: int,
        in_channels: int,
        patch: int,
        side: int,
    ) -> None:
        super().__init__()
        self.patches = Conv2d(in_channels, width, patch, stride=patch)
        self.first = Embedding(1, width)
        self.places = Embedding(side**2 + 1, width)
        self.blocks = nn.ModuleList(
            PreNormBlock(width, RelativeAttention(width, heads, size, side), hidden)
            for heads, hidden in layers
        )
        self.norm = nn.LayerNorm(width)
        self.output = Linear(width, classes)
        self.side = side

    def forward(self, images: Tensor) -> Tensor:
        """The logits of the classes."""
        patches = self.patches(images)
        if patches.shape[2:] != (self.side, self.side):
            raise ForetellError(
                f"the images have {' x '.join(map(str, patches.shape[2:]))} patches, and the "
                f"network {self.side} x {self.side}; give the resolution of the images"
            )
        first = self.first.weight.expand(len(images), -1, -1)
        x = torch.cat([first, patches.flatten(2).transpose(1, 2)], dim=1) + self.places.weight
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.output(self.norm(x)[:, 1:].mean(1))
        return logits


class RelativeAttention(Projections):
    """Self-attention in which vectors for the distance of two patches add to keys and values."""

    def __init__(self, width: int, heads: int, size: int, side: int) -> None:
        super().__init__(width, heads, size)
        self.near_keys = Distances(size, side)
        self.near_values = Distances(size, side)

    def forward(self, x: Tensor) -> Tensor:
        """Input and output [N, T, width]."""
        query, key, value = self.projected(x)
        by_place = query.transpose(1, 2) @ self.near_keys().mT  # [N, T, heads, T]
        likeness = query @ key.mT + by_place.transpose(1, 2)
        shares = (likeness * query.shape[-1] ** -0.5).softmax(-1)
        placed = shares.transpose(1, 2) @ self.near_values()
        out: Tensor = self.out(((shares @ value).transpose(1, 2) + placed).flatten(2))
        return out


class Distances(nn.Module):
    """A vector [size] for each pair of tokens: of the distance in rows and of that in columns.

    Pairs with the class token, the first one, have a row of their own in both tables.
    """

    def __init__(self, size: int, side: int) -> None:
        super().__init__()
        self.rows, self.columns = (Embedding(2 * FARTHEST + 2, size) for _ in range(2))
        self.side = side

    def forward(self) -> Tensor:
        """[T, T, size] for queries and keys."""
        place = torch.arange(self.side**2, device=self.rows.weight.device)
        row, column = (
            nn.functional.pad(
                (one - one[:, None]).clamp(-FARTHEST, FARTHEST) + FARTHEST + 1, (1, 0, 1, 0)
            )
            for one in (place // self.side, place % self.side)
        )
        return self.rows.weight[row] + self.columns.weight[column]
