"""The seven tasks of TransNAS-Bench-101, and the head of the network for each task.

Duan et al. 2021, arXiv:2105.11871. The benchmark trained the heads of `normal` and `autoencoder`
with an additional discriminator, which is left out here, since it does not affect the scores of a
network.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from foretell.spaces.initialise import Conv2d, ConvTranspose2d, Linear, initialise

__all__ = ["DENSE", "TASKS", "TILES", "Task", "with_head"]

TILES = 9
"""The tiles of a jigsaw puzzle."""


@dataclass(frozen=True)
class Task:
    """What a network predicts, and the loss that the benchmark trained it with."""

    classes: int
    """The number of classes or of values in the benchmark's data."""
    loss: str
    """The name of the loss, a key of `foretell.losses.LOSSES`."""
    targets: str
    """A description of the targets."""


TASKS: dict[str, Task] = {
    "class_object": Task(75, "cross_entropy", "the class of each image [N]"),
    "class_scene": Task(47, "cross_entropy", "the class of each image [N]"),
    "jigsaw": Task(1000, "cross_entropy", "the permutation of the tiles [N, 9, C, H, W]: [N]"),
    "room_layout": Task(9, "mse", "nine numbers for each image [N, 9]"),
    "segmentsemantic": Task(17, "cross_entropy", "the class of each pixel [N, H, W]"),
    "normal": Task(3, "l1", "the surface normals [N, 3, H, W], from -1 to 1"),
    "autoencoder": Task(3, "l1", "the image itself [N, 3, H, W], from -1 to 1"),
}
"""The tasks, by the benchmark's names."""
DENSE = ("segmentsemantic", "normal", "autoencoder")
"""The tasks that predict every pixel."""


def with_head(
    backbone: nn.Module,
    task: str,
    seed: int,
    *,
    width: int,
    halvings: int,
    classes: int,
    in_channels: int,
    features: int,
) -> nn.Module:
    """The backbone, which has `width` output channels, with the head of the task.

    The weights of the head are drawn by the seed. The heads of the last three tasks double the
    resolution `halvings` times.
    """
    if task == "jigsaw":
        head = _pooled(TILES * width, classes)
    elif task == "segmentsemantic":
        head = nn.Sequential(*_segmentation(width, classes, halvings, features))
    elif task in DENSE:
        head = nn.Sequential(*_generator(width, in_channels, halvings, features))
    else:
        head = _pooled(width, classes)
    initialise(head, seed)
    model = _Siamese() if task == "jigsaw" else nn.Sequential()
    model.add_module("backbone", backbone)
    model.add_module("head", head)
    return model


class _Siamese(nn.Sequential):
    """A backbone that is applied to each tile, and a head on the features of all tiles."""

    def forward(self, tiles: Tensor) -> Tensor:
        """Tiles [N, 9, C, H, W] -> logits of their permutations [N, classes]."""
        backbone, head = self
        out: Tensor = head(torch.cat([backbone(tile) for tile in tiles.unbind(1)], 1))
        return out


def _pooled(width: int, classes: int) -> nn.Sequential:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), Linear(width, classes))


def _segmentation(width: int, classes: int, doublings: int, features: int) -> Iterator[nn.Module]:
    """Seven layers of halving widths, the last of which double the resolution."""
    yield from _layer(width, features)
    for step in range(5):
        narrower = features // 2
        yield from _layer(features, narrower, double=step >= 6 - doublings)
        features = narrower
    yield from _layer(features, features, double=True)
    yield Conv2d(features, classes, 3, padding=1)


DOUBLE_AT = {2: 6, 4: 5, 6: 4, 8: 3, 10: 2, 12: 1}
"""For some layers of the generator, the number of doublings from which on they double the
resolution."""


def _generator(width: int, channels: int, doublings: int, features: int) -> Iterator[nn.Module]:
    """The decoder of images from -1 to 1: thirteen layers, some of which double the resolution."""
    parts = (1, 1, 2, 2, 4, 8, 16, 16, 32, 32, 64, 32, 64)
    widths = [width, *(max(features // part, 1) for part in parts)]
    for layer, (before, after) in enumerate(pairwise(widths)):
        yield from _layer(before, after, double=doublings >= DOUBLE_AT.get(layer, 7))
    yield Conv2d(widths[-1], channels, 3, padding=1)
    yield nn.Tanh()


def _layer(before: int, after: int, *, double: bool = False) -> tuple[nn.Module, ...]:
    """A 3x3 convolution, transposed if it doubles the resolution, BatchNorm and leaky ReLU."""
    convolution: nn.Module = (
        ConvTranspose2d(before, after, 3, 2, 1, output_padding=1)
        if double
        else Conv2d(before, after, 3, padding=1)
    )
    return convolution, nn.BatchNorm2d(after), nn.LeakyReLU(0.2)
