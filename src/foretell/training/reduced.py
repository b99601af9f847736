"""EcoNAS's reduced training: fewer pixels, channels, samples and epochs.

EcoNAS, Zhou et al. 2020, arXiv:2001.01233; the two settings are those of arXiv:2101.08134.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from foretell.data import Splits
from foretell.data.splits import Part
from foretell.errors import ForetellError
from foretell.spaces import Space, make_space
from foretell.training.settings import TrainSettings

__all__ = ["REDUCED", "Reduced", "reduced_splits"]


@dataclass(frozen=True)
class Reduced:
    """The reductions of a full training along the four axes of EcoNAS: r, c, s, e."""

    resolution: int
    """Height and width of an image in pixels."""
    channels: int
    """The channels of the first stage of the network."""
    samples: float
    """The share of the training samples that is used."""
    training: TrainSettings
    """Trains for `stop_after` epochs of a schedule of `epochs`."""


def schedule(stop: int) -> TrainSettings:
    """The first `stop` of forty epochs of SGD with Nesterov momentum and a cosine schedule."""
    return TrainSettings(epochs=40, stop_after=stop, lr=0.1, augmentation="shift")


REDUCED: Mapping[str, Reduced] = {
    "econas": Reduced(8, 4, 1.0, schedule(20)),
    "econas+": Reduced(16, 8, 1.0, schedule(15)),
}
"""Name -> reduced training, with batches of 64 instead of the paper's 2,048 for small data sets."""


def reduced_space(space: Space, by: Reduced) -> Space:
    """The space with fewer channels, for images with fewer pixels.

    Raises ForetellError for a space without these settings.
    """
    settings = space.settings()
    if "channels" not in settings or "resolution" not in settings:
        raise ForetellError(
            f"space {space.name} cannot be reduced; expected the settings channels and resolution"
        )
    small = make_space(
        space.name, {**settings, "channels": by.channels, "resolution": by.resolution}
    )
    if type(small) is not type(space):
        raise ForetellError(
            f"space {space.name} cannot be reduced; expected a registered space, not your own one"
        )
    return small


def reduced_splits(splits: Splits, by: Reduced) -> Splits:
    """The images with fewer pixels, and only the first part of the training images.

    >>> from foretell.data import load_data
    >>> few = reduced_splits(load_data("digits"), Reduced(4, 4, 0.5, TrainSettings()))
    >>> few.train[0].shape
    torch.Size([548, 1, 4, 4])
    """
    count = max(1, round(by.samples * len(splits.train[1])))
    train_part = (splits.train[0][:count], splits.train[1][:count])
    small = [smaller(part, by.resolution) for part in (train_part, splits.val, splits.test)]
    name = f"{splits.name} at {by.resolution} pixels"
    return replace(splits, name=name, train=small[0], val=small[1], test=small[2])


def smaller(part: Part, side: int) -> Part:
    """The images resized to `side` pixels in height and width."""
    images: Tensor = part[0][torch.arange(len(part[1]))]
    return F.interpolate(images, [side, side], mode="bilinear", antialias=True), part[1]
