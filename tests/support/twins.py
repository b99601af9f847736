"""Simple twins of layers, for the twins of networks."""

from collections.abc import Callable

import torch
from torch import Tensor

Attend = Callable[[str, int, Tensor, list[Tensor], list[Tensor]], Tensor]
"""What a head gives for a token: from the name of the attention, the place of the token, its query,
and the keys and values of all tokens."""


def norm(x: Tensor) -> Tensor:
    """A batch normalisation in training mode as it is initialised."""
    mean, variance = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), keepdim=True, correction=0)
    return (x - mean) / (variance + 1e-5) ** 0.5


class TokenByToken:
    """The layers of a transformer with these weights, for one sequence, a token at a time."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        self.weights = weights

    def linear(self, name: str, x: Tensor) -> Tensor:
        """A linear layer, with or without bias."""
        out = self.weights[f"{name}.weight"] @ x
        return out + self.weights[f"{name}.bias"] if f"{name}.bias" in self.weights else out

    def norm(self, name: str, x: Tensor) -> Tensor:
        """A layer normalisation."""
        centred = (x - x.mean()) / (x.var(correction=0) + 1e-5).sqrt()
        return centred * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def attended(self, name: str, xs: list[Tensor], heads: int, attend: Attend) -> list[Tensor]:
        """Multi-head attention."""
        q, k, v = (
            [self.linear(f"{name}.{part}", x).chunk(heads) for x in xs]
            for part in ("query", "key", "value")
        )
        outs = []
        for t in range(len(xs)):
            parts = [
                attend(name, t, q[t][h], [one[h] for one in k], [one[h] for one in v])
                for h in range(heads)
            ]
            outs.append(self.linear(f"{name}.out", torch.cat(parts)))
        return outs

    def block(self, name: str, xs: list[Tensor], heads: int, attend: Attend) -> list[Tensor]:
        """Attention and a feed-forward network with GELU, after a norm and beside a skip each."""
        normed = [self.norm(f"{name}.before_attention", x) for x in xs]
        attended = self.attended(f"{name}.attention", normed, heads, attend)
        xs = [x + y for x, y in zip(xs, attended, strict=True)]
        wide = [self.linear(f"{name}.feed.0", self.norm(f"{name}.before_feed", x)) for x in xs]
        wide = [x * (1 + torch.erf(x / 2**0.5)) / 2 for x in wide]
        return [x + self.linear(f"{name}.feed.2", y) for x, y in zip(xs, wide, strict=True)]
