"""Attention and feed-forward layers of transformers, with uninitialised weights."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foretell.spaces.initialise import Linear

__all__ = ["PreNormBlock", "Projections", "SelfAttention", "feed_forward"]


class Projections(nn.Module):
    """The linear layers of multi-head self-attention with `size` features per head."""

    def __init__(self, width: int, heads: int, size: int) -> None:
        super().__init__()
        self.query = Linear(width, heads * size)
        self.key = Linear(width, heads * size)
        self.value = Linear(width, heads * size)
        self.out = Linear(heads * size, width)
        self.heads = heads

    def projected(self, x: Tensor) -> list[Tensor]:
        """Queries, keys and values [N, heads, T, size] of tokens [N, T, width]."""
        return [
            layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        ]


class SelfAttention(Projections):
    """Multi-head self-attention, [N, T, width] to [N, T, width], with `size` features per head.

    With `causal`, a token attends to itself and to those before it. With `rotary`, queries and keys
    are rotated by angles proportional to the positions (Su et al. 2021, arXiv:2104.09864).
    """

    def __init__(
        self, width: int, heads: int, size: int, *, causal: bool = False, rotary: bool = False
    ) -> None:
        super().__init__(width, heads, size)
        self.causal, self.rotary = causal, rotary

    def forward(self, x: Tensor) -> Tensor:
        """Input and output [N, T, width]."""
        query, key, value = self.projected(x)
        if self.rotary:
            query, key = rotated(query), rotated(key)
        heads = F.scaled_dot_product_attention(query, key, value, is_causal=self.causal)
        out: Tensor = self.out(heads.transpose(1, 2).flatten(2))
        return out


def rotated(x: Tensor) -> Tensor:
    """[..., T, size] with feature i of both halves rotated, at place t, by t * 10000^(-2i/size).

    If the size is odd, the last feature is not rotated.

    >>> rotated(torch.tensor([[1.0, 0.0], [1.0, 0.0]]))
    tensor([[1.0000, 0.0000],
            [0.5403, 0.8415]])
    """
    half = x.shape[-1] // 2
    one, other, rest = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
    steps = torch.arange(half, dtype=x.dtype, device=x.device) / max(half, 1)
    places = torch.arange(x.shape[-2], dtype=x.dtype, device=x.device)
    angles = places[:, None] * 10_000**-steps
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([one * cos - other * sin, one * sin + other * cos, rest], dim=-1)


def feed_forward(width: int, hidden: int) -> nn.Sequential:
    """A layer that widens, GELU, and a layer back to the width before."""
    return nn.Sequential(Linear(width, hidden), nn.GELU(), Linear(hidden, width))


class PreNormBlock(nn.Module):
    """Attention and a feed-forward network, each after a norm and with a skip around it."""

    def __init__(self, width: int, attention: Projections, hidden: int) -> None:
        super().__init__()
        self.before_attention = nn.LayerNorm(width)
        self.attention = attention
        self.before_feed = nn.LayerNorm(width)
        self.feed = feed_forward(width, hidden)

    @property
    def ends(self) -> tuple[nn.Module, nn.Module]:
        """The layers whose outputs are added to the input."""
        return self.attention.out, self.feed[-1]

    def forward(self, x: Tensor) -> Tensor:
        """Input and output [N, T, width]."""
        x = x + self.attention(self.before_attention(x))
        out: Tensor = x + self.feed(self.before_feed(x))
        return out
