"""NAS-Bench-Macro: eight layers in sequence, each one of three blocks.

Su et al. 2021, arXiv:2103.11922. This file defines the architectures and their texts;
`macro_network` builds the networks.
"""

import re
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from foretell.errors import ForetellError
from foretell.spaces.initialise import initialise
from foretell.spaces.macro_network import BLOCKS, STAGES, network
from foretell.spaces.settings import IntegerSettings
from foretell.spaces.space import Arch, is_chosen, require_valid

__all__ = ["NASBenchMacro"]


@dataclass(frozen=True)
class NASBenchMacro(IntegerSettings):
    """NAS-Bench-Macro: 6,561 networks (3,969 unique), eight layers of three choices.

    An architecture consists of the block of each layer, as an index into identity, mb3_k3, mb6_k5.
    The last two are blocks of MobileNetV2, with expansion 3 and kernel size 3, and with expansion 6
    and kernel size 5. Layers 0, 2 and 5 begin a stage: they halve the size of the image and double
    the channels, and their "identity" is a 1x1 convolution.

    `channels` is the width of the stem, `features` that of the last convolution. `resolution` is
    the height and width of the images; it does not change the network, which accepts images of any
    size.

    >>> space = NASBenchMacro()
    >>> space.parse("02012100")
    (0, 2, 0, 1, 2, 1, 0, 0)
    """

    channels: int = 32
    features: int = 1280
    classes: int = 10
    in_channels: int = 3
    resolution: int = 32

    name: ClassVar[str] = "macro"
    choices: ClassVar[tuple[tuple[str, ...], ...]] = (BLOCKS,) * sum(STAGES)

    def is_valid(self, arch: Arch) -> bool:
        """True for a tuple of eight integers within 0..2."""
        return is_chosen(self.choices, arch)

    def canonical(self, arch: Arch) -> Arch:
        """The architecture with the identities of each stage moved to its end.

        The first layer of a stage stays in place; an identity after it has no effect. The benchmark
        trained the canonical architectures and copied their results to the others.

        >>> NASBenchMacro().canonical((0, 2, 0, 0, 1, 1, 0, 2))
        (0, 2, 0, 1, 0, 1, 2, 0)
        """
        require_valid(self, arch)
        canonical: list[int] = []
        for layers in STAGES:
            first, *rest = arch[len(canonical) : len(canonical) + layers]
            canonical += [first, *sorted(rest, key=lambda block: block == 0)]  # stable
        return tuple(canonical)

    def build(self, arch: Arch, seed: int) -> nn.Module:
        """The untrained network in training mode; see `macro_network.network`.

        For a given seed, the weights of a layer do not depend on the blocks of the other layers.
        """
        require_valid(self, arch)
        model = network(
            arch,
            channels=self.channels,
            features=self.features,
            classes=self.classes,
            in_channels=self.in_channels,
        )
        initialise(model, seed)
        return model

    def format(self, arch: Arch) -> str:
        """The benchmark's name of the architecture: eight digits."""
        require_valid(self, arch)
        return "".join(map(str, arch))

    def parse(self, text: str) -> Arch:
        """The architecture from its eight digits; raises ForetellError for any other text."""
        text = text.strip()
        if not re.fullmatch("[0-2]{8}", text):
            raise ForetellError(
                f"{text!r} is not a NAS-Bench-Macro network; expected eight digits, "
                f"0 {BLOCKS[0]}, 1 {BLOCKS[1]}, 2 {BLOCKS[2]}, such as 02012100"
            )
        return tuple(map(int, text))
