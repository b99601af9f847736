"""NATS-Bench's size space: networks with a fixed cell of NAS-Bench-201 and varying widths.

Dong et al. 2021, arXiv:2009.00437. The network has a stem, a linear classifier, and in between
three copies of the cell that are separated by two residual blocks of stride two. Each of the five
layers in between has a width.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from torch import nn

from foretell.errors import ForetellError
from foretell.spaces.blocks import relu_conv_bn
from foretell.spaces.initialise import Conv2d, initialise
from foretell.spaces.nb201_network import EDGES, Cell, Reduction, head
from foretell.spaces.settings import IntegerSettings
from foretell.spaces.space import Arch, is_chosen, require_valid

__all__ = ["NATSSize"]

WIDTHS = (8, 16, 24, 32, 40, 48, 56, 64)
LAYERS = 5
KERNELS = {(1, 0): 3, (2, 0): 3, (2, 1): 3, (3, 0): 0, (3, 1): 3, (3, 2): 3}
"""The kernel size of each edge of the cell, or 0 for a skip."""


@dataclass(frozen=True)
class NATSSize(IntegerSettings):
    """NATS-Bench's sizes: 32,768 networks that differ in the widths of five layers.

    An architecture consists of the width of each layer, as an index into 8, 16, 24, ..., 64. The
    layers 2 and 4 halve the size of the image. `resolution` is the height and width of the images;
    it does not change the network, which accepts images of any size.

    >>> space = NATSSize()
    >>> space.parse("8:64:32:8:16")
    (0, 7, 3, 0, 1)
    """

    classes: int = 10
    in_channels: int = 3
    resolution: int = 32

    name: ClassVar[str] = "nats_sss"
    choices: ClassVar[tuple[tuple[str, ...], ...]] = (tuple(map(str, WIDTHS)),) * LAYERS

    def is_valid(self, arch: Arch) -> bool:
        """True for a tuple of five integers within 0..7."""
        return is_chosen(self.choices, arch)

    def canonical(self, arch: Arch) -> Arch:
        """The architecture itself, since no two architectures describe the same network."""
        require_valid(self, arch)
        return arch

    def build(self, arch: Arch, seed: int) -> nn.Module:
        """The untrained network in training mode; see `network`."""
        require_valid(self, arch)
        model = network([WIDTHS[option] for option in arch], self.in_channels, self.classes)
        initialise(model, seed)
        return model

    def format(self, arch: Arch) -> str:
        """The widths separated by colons, as the benchmark writes them."""
        require_valid(self, arch)
        return ":".join(str(WIDTHS[option]) for option in arch)

    def parse(self, text: str) -> Arch:
        """The architecture from its widths; raises ForetellError for any other text."""
        widths = text.strip().split(":")
        known = [str(width) for width in WIDTHS]
        if len(widths) != LAYERS or not set(widths) <= set(known):
            raise ForetellError(
                f"{text!r} is not a network of NATS-Bench's size space; expected five widths "
                "of 8, 16, 24, ..., 64 such as 8:64:32:8:16"
            )
        return tuple(map(known.index, widths))


def network(widths: list[int], in_channels: int, classes: int) -> nn.Module:
    """The network of these widths, with uninitialised convolutions and classifier.

    >>> [name for name, _ in network([8, 16, 8, 8, 8], 3, 10).named_children()]
    ['stem', 'layer1', 'layer2', 'layer3', 'layer4', 'layer5', 'head']
    """
    first, *_, last = widths
    model = nn.Sequential()
    stem = Conv2d(in_channels, first, 3, padding=1, bias=False)
    model.add_module("stem", nn.Sequential(stem, nn.BatchNorm2d(first)))
    for layer, (before, after) in enumerate(pairwise([first, *widths]), start=1):
        block = Reduction if layer in (2, 4) else _cell
        model.add_module(f"layer{layer}", block(before, after))
    model.add_module("head", nn.Sequential(*head(last, classes)))
    return model


def _cell(wide_in: int, wide_out: int) -> Cell:
    """The cell, whose edges from its input change the number of channels."""
    operations: dict[tuple[int, int], nn.Module] = {}
    for (target, source), kernel in KERNELS.items():
        before = wide_out if source else wide_in
        if kernel:
            operations[target, source] = relu_conv_bn(before, wide_out, kernel)
        elif before == wide_out:
            operations[target, source] = nn.Identity()
        else:
            widen = Conv2d(before, wide_out, 1, bias=False)
            operations[target, source] = nn.Sequential(widen, nn.BatchNorm2d(wide_out))
    return Cell(operations, EDGES)
