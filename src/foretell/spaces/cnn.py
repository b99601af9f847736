"""Small CNNs, many of which do not learn in a short training: too deep, or without norm or skips.

They are the default space of `foretell search`. `network` and `OPTIONS` show everything that a
space of your own needs (see `Choices`); `SmallCNNs` only adds the settings that the data
determines.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from foretell.spaces.blocks import Residual
from foretell.spaces.ready import ReadyMade
from foretell.spaces.space import Json

__all__ = ["OPTIONS", "SmallCNNs", "network"]

OPTIONS: Mapping[str, tuple[Json, ...]] = {
    "depth": (1, 2, 4, 8, 16),
    "width": (4, 8, 16, 32),
    "kernel": (1, 3, 5),
    "activation": ("ReLU", "Tanh", "Sigmoid"),
    "norm": ("no", "BN"),
    "skip": ("no", "yes"),
    "pool": ("no", "max", "avg"),
}
POOLS: Mapping[str, Callable[..., nn.Module]] = {"max": nn.MaxPool2d, "avg": nn.AvgPool2d}
POOLED = (0, 2)
"""The numbers of the convolutions that are followed by a pooling."""


def network(
    depth: int,
    width: int,
    kernel: int,
    activation: str,
    norm: str,
    skip: str,
    pool: str,
    *,
    classes: int = 10,
    in_channels: int = 1,
) -> nn.Sequential:
    """Build the CNN: `depth` convolutions of equal width, and a linear classifier on channel means.

    The first and the third convolution are followed by a pooling.

    >>> import torch
    >>> network(2, 4, 3, "ReLU", "no", "yes", "max")(torch.ones(5, 1, 8, 8)).shape
    torch.Size([5, 10])
    """
    model = nn.Sequential()
    for number in range(depth):
        block = Residual() if skip == "yes" and number else nn.Sequential()
        block.append(nn.Conv2d(width if number else in_channels, width, kernel, padding="same"))
        if norm == "BN":
            block.append(nn.BatchNorm2d(width))
        model.append(block.append(getattr(nn, activation)()))
        if pool in POOLS and number in POOLED:
            model.append(POOLS[pool](2, ceil_mode=True))
    return model.extend([nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes)])


def same(**options: Json) -> dict[str, Json]:
    """The options, without skips if there is only one convolution and hence nothing to skip."""
    return options | {"skip": "no"} if options["depth"] == 1 else options


@dataclass(frozen=True)
class SmallCNNs(ReadyMade):
    """Small CNNs: 2,160 networks (1,944 unique) of seven choices, many of which learn slowly.

    The choices are depth, width, kernel size, activation, normalisation, skips around every
    convolution but the first, and pooling. The networks accept images of any size.

    >>> space = SmallCNNs()
    >>> space.format((3, 3, 1, 0, 1, 1, 1))
    'depth=8,width=32,kernel=3,activation=ReLU,norm=BN,skip=yes,pool=max'
    >>> space.parse("8,32,3,ReLU,BN,yes,max")
    (3, 3, 1, 0, 1, 1, 1)
    """

    classes: int = 10
    in_channels: int = 1

    name: ClassVar[str] = "cnn"
    options: ClassVar[Mapping[str, tuple[Json, ...]]] = OPTIONS
    network = staticmethod(network)
    same = staticmethod(same)
