"""GPT-style language models: decoders whose layers differ in heads and feed-forward width.

Javaheripi et al. 2022, arXiv:2203.02094 (LiteTransformerSearch), where the number of parameters of
the layers ranks the networks well; layers as in GPT-2 (Radford et al. 2019).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor, nn

from foretell.errors import ForetellError
from foretell.spaces.attention import PreNormBlock, SelfAttention
from foretell.spaces.initialise import Embedding, Linear, initialise, normal
from foretell.spaces.layered import Layered, Options
from foretell.spaces.settings import require_flag, require_integers, require_option
from foretell.spaces.space import Arch, Json

__all__ = ["GPT"]

LAYERS = range(1, 17)
WIDTHS = tuple(map(str, range(2, 17)))
"""In units of `unit` features."""
HEADS = ("2", "4", "8", "12")
RATIOS = ("2", "3", "4")
POSITIONS = ("learned", "rotary")
STD = 0.02


@dataclass(frozen=True)
class GPT(Layered):
    """GPT-style decoders: one to 16 layers, each with its own heads and feed-forward width.

    An architecture consists of the number of layers, the width, which is 2 to 16 times `unit`
    features, and for each layer the number of heads and the ratio of the feed-forward width to the
    width. A head has width / heads features, rounded down. As in the paper, there are no ratios
    below 2, with which networks may fail to learn; the paper has 2, 4 and 8 heads, and GPT-2 12.

    `length` is the largest number of tokens with `positions` "learned"; "rotary" has no limit.
    With `tied`, the output layer shares the matrix of the embedding.

    >>> space = GPT()
    >>> space.format(space.parse("4/4:2/8:4"))
    '4/4:2/8:4'
    """

    vocabulary: int = 10_000
    length: int = 1024
    unit: int = 64
    positions: str = "learned"
    tied: bool = True

    name: ClassVar[str] = "gpt"
    example: ClassVar[str] = "4/4:2/8:4"
    depths: ClassVar[Sequence[int]] = LAYERS
    whole: ClassVar[Options] = (WIDTHS,)
    each: ClassVar[Options] = (HEADS, RATIOS)

    def __post_init__(self) -> None:
        words = ("positions", "tied")
        require_integers(self.name, {k: v for k, v in asdict(self).items() if k not in words})
        require_option(self.name, "positions", self.positions, POSITIONS)
        require_flag(self.name, "tied", self.tied)

    def settings(self) -> dict[str, Json]:
        """The value of every field, by name."""
        return asdict(self)

    def build(self, arch: Arch, seed: int) -> nn.Module:
        """The untrained model: ids [batch, time] -> logits [batch, time, vocabulary].

        Weights are N(0, 0.02^2) and biases zero; as in GPT-2, those of layers that add to the
        residual stream are divided by the square root of the number of such layers.
        """
        (units,), layers = self.chosen(arch)
        plan = [(int(heads), int(ratio)) for heads, ratio in layers]
        length = self.length if self.positions == "learned" else 0
        model = Decoder(self.vocabulary, length, self.unit * int(units), plan, self.tied)
        residual = normal(STD / (2 * len(plan)) ** 0.5)
        blocks = (block for block in model.blocks if isinstance(block, PreNormBlock))
        ends = {end for block in blocks for end in block.ends}

        def draw(layer: nn.Module, name: str, generator: Generator) -> Tensor:
            return (residual if layer in ends else normal(STD))(layer, name, generator)

        initialise(model, seed, draw)
        return model


class Decoder(nn.Module):
    """Token ids [N, T] -> logits [N, T, vocabulary]; rotary positions if `length` is zero."""

    def __init__(
        self, vocabulary: int, length: int, width: int, plan: list[tuple[int, int]], tied: bool
    ) -> None:
        super().__init__()
        self.tokens = Embedding(vocabulary, width)
        self.places = Embedding(length, width) if length else None
        self.blocks = nn.ModuleList(block_of(width, *layer, rotary=not length) for layer in plan)
        self.norm = nn.LayerNorm(width)
        self.output = Linear(width, vocabulary, bias=False)
        if tied:
            self.output.weight = self.tokens.weight

    def forward(self, ids: Tensor) -> Tensor:
        """The logits of every next token."""
        x = self.tokens(ids)
        if self.places is not None:
            if (given := ids.shape[1]) > (most := self.places.num_embeddings):
                raise ForetellError(f"{given} tokens are given; the network has length={most}")
            x = x + self.places(torch.arange(given, device=ids.device))
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.output(self.norm(x))
        return logits


def block_of(width: int, heads: int, ratio: int, *, rotary: bool) -> PreNormBlock:
    """A block with causal attention."""
    size = max(width // heads, 1)
    attention = SelfAttention(width, heads, size, causal=True, rotary=rotary)
    return PreNormBlock(width, attention, ratio * width)
