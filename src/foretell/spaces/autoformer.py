"""AutoFormer: vision transformers whose layers differ in heads and feed-forward width.

Chen et al. 2021, arXiv:2107.00651. The networks of the search space, each with weights of its own;
`autoformer_network` builds them.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import ClassVar, NamedTuple

from torch import nn

from foretell.errors import ForetellError
from foretell.spaces.autoformer_network import VisionTransformer
from foretell.spaces.initialise import initialise, normal
from foretell.spaces.layered import Layered, Options
from foretell.spaces.settings import require_integers, require_option
from foretell.spaces.space import Arch, Json

__all__ = ["AutoFormer"]


class Variant(NamedTuple):
    """The options of one of the three search spaces."""

    depths: tuple[int, ...]
    widths: tuple[str, ...]
    heads: tuple[str, ...]


VARIANTS = {
    "tiny": Variant((12, 13, 14), ("192", "216", "240"), ("3", "4")),
    "small": Variant((12, 13, 14), ("320", "384", "448"), ("5", "6", "7")),
    "base": Variant((14, 15, 16), ("528", "576", "624"), ("8", "9", "10")),
}
RATIOS = ("3", "3.5", "4")
HEAD = 64
"""The features of a head."""


@dataclass(frozen=True)
class AutoFormer(Layered):
    """AutoFormer: vision transformers whose layers have heads and feed-forward widths of their own.

    An architecture consists of the number of layers, the width, and for each layer the number of
    heads, of 64 features each, and the ratio of the feed-forward width to the width. `variant` is
    "tiny", "small" or "base". The ratio 3 is in all of them, since the network that the authors
    found in the tiny space has it, although the paper lists 3.5 and 4 for that space.

    `resolution` is the height and width of the images, and `patch` that of a patch. With `shrink`,
    the width and the features of a head are divided by it, which is cheaper.

    >>> space = AutoFormer()
    >>> space.format(space.parse("192" + "/3:3.5" * 12))[:15]
    '192/3:3.5/3:3.5'
    """

    variant: str = "tiny"
    classes: int = 1000
    in_channels: int = 3
    resolution: int = 224
    patch: int = 16
    shrink: int = 1

    name: ClassVar[str] = "autoformer"
    example: ClassVar[str] = "192" + "/3:3.5" * 12

    def __post_init__(self) -> None:
        require_integers(self.name, {k: v for k, v in asdict(self).items() if k != "variant"})
        require_option(self.name, "variant", self.variant, list(VARIANTS))
        if self.patch > self.resolution:
            raise ForetellError(
                f"{self.name}: patch is {self.patch} and the images have {self.resolution} pixels; "
                f"give patch={max(self.resolution // 4, 1)} or the like"
            )

    def settings(self) -> dict[str, Json]:
        """The value of every field, by name."""
        return asdict(self)

    @property
    def depths(self) -> Sequence[int]:
        """The numbers of layers of the variant."""
        return VARIANTS[self.variant].depths

    @property
    def whole(self) -> Options:
        """The widths of the variant."""
        return (VARIANTS[self.variant].widths,)

    @property
    def each(self) -> Options:
        """The numbers of heads of the variant, and the ratios."""
        return VARIANTS[self.variant].heads, RATIOS

    def build(self, arch: Arch, seed: int) -> nn.Module:
        """The untrained network in training mode; weights N(0, 0.02^2), biases zero."""
        (text,), layers = self.chosen(arch)
        width, size = (max(one // self.shrink, 1) for one in (int(text), HEAD))
        model = VisionTransformer(
            width,
            [(int(heads), int(float(ratio) * width)) for heads, ratio in layers],
            size=size,
            classes=self.classes,
            in_channels=self.in_channels,
            patch=self.patch,
            side=self.resolution // self.patch,
        )
        initialise(model, seed, normal(0.02))
        return model
