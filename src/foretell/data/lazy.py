"""Images that are read and normalised when they are accessed, for large data sets."""

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TypeVar

import torch
from torch import Tensor

from foretell.data.splits import Splits, cut
from foretell.errors import ForetellError

__all__ = ["Found", "LazyImages", "assemble", "check_labels", "completed"]

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class LazyImages:
    """Some images of a source, in float32, normalised channel by channel.

    >>> pixels = torch.arange(12).reshape(3, 1, 2, 2)
    >>> images = LazyImages(lambda rows: pixels[rows], torch.tensor([2, 0]), (1, 2, 2), lambda: "")
    >>> images.shape, images[torch.tensor([1])].flatten()
    (torch.Size([2, 1, 2, 2]), tensor([0., 1., 2., 3.]))
    """

    read: Callable[[Tensor], Tensor]
    """A function that returns the pixels [n, C, H, W] of rows of the source."""
    rows: Tensor
    """The rows of the source to which these images correspond."""
    size: tuple[int, ...]
    source: Callable[[], str]
    """A function that returns a text which differs whenever the pixels of the source differ."""
    mean: tuple[float, ...] = ()
    """The means that are subtracted from the channels; empty for no normalisation."""
    std: tuple[float, ...] = ()

    @property
    def shape(self) -> torch.Size:
        """[N, C, H, W], or [N, time, features] for audio."""
        return torch.Size((len(self.rows), *self.size))

    def __getitem__(self, rows: Tensor | slice) -> Tensor:
        pixels = self.read(self.rows[rows]).float()
        if not self.mean:
            return pixels
        mean, std = torch.tensor(self.mean), torch.tensor(self.std)
        return (pixels - mean[:, None, None]) / std[:, None, None]

    def to(
        self,
        device: torch.device,
        *,
        memory_format: torch.memory_format = torch.contiguous_format,
    ) -> Tensor:
        """All images, in memory."""
        return self[:].to(device, memory_format=memory_format)

    def chosen(self, rows: Tensor) -> "LazyImages":
        """The images of these rows, without reading them."""
        return replace(self, rows=self.rows[rows])

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hex digits that differ whenever the images differ."""
        digest = hashlib.sha256(f"{self.source()} {self.size} {self.mean} {self.std}".encode())
        digest.update(self.rows.numpy().tobytes())
        return digest.hexdigest()[:16]


Found = dict[str, tuple[LazyImages, Tensor]]


def assemble(name: str, parts: Found, classes: int, held_out: float, note: str = "") -> Splits:
    """Splits of the given parts; missing parts are taken from the training part.

    Images without a mean are normalised to mean 0 and variance 1 over the training part.
    """
    found = completed(parts, held_out, LazyImages.chosen)
    if not parts["train"][0].mean:
        mean, std = moments(found["train"][0])
        found = {p: (replace(x, mean=mean, std=std), y) for p, (x, y) in found.items()}
    return Splits(name, classes, found["train"], found["val"], found["test"], note=note)


def completed(
    parts: Mapping[str, tuple[T, Tensor]], held_out: float, choose: Callable[[T, Tensor], T]
) -> dict[str, tuple[T, Tensor]]:
    """The parts "train", "val" and "test" of samples and labels; "train" must be given.

    Each missing part receives the share `held_out` of each class of the training part, drawn with a
    fixed seed.
    """
    samples, labels = parts["train"]
    missing = [part for part in ("val", "test") if part not in parts]
    rest, *rows = cut(labels, *[held_out_share(held_out)] * len(missing))
    chosen = dict(zip(["train", *missing], [rest, *rows], strict=True))
    return {**parts, **{part: (choose(samples, own), labels[own]) for part, own in chosen.items()}}


def held_out_share(share: float) -> Callable[[int], int]:
    """A function from n to the number of held-out samples among n, for a share below 0.5."""
    if not isinstance(share, int | float) or not 0 <= share < 0.5:
        raise ForetellError(f"held_out is {share!r}; expected a share of at least 0 and below 0.5")
    return partial(_rounded, share)


def _rounded(share: float, count: int) -> int:
    return round(share * count)


def moments(images: LazyImages) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The mean and standard deviation of each channel of uint8 images, exact in any order."""
    counts = torch.zeros(images.size[0], 256, dtype=torch.int64)
    for rows in torch.split(images.rows, 1_000):
        pixels = images.read(rows)
        for channel in range(images.size[0]):
            counts[channel] += pixels[:, channel].flatten().bincount(minlength=256)
    values, total = torch.arange(256), counts.sum(1).double()
    mean = (counts * values).sum(1) / total
    variance = (counts * values**2).sum(1) / total - mean**2
    std = [math.sqrt(v) if v > 1e-6 else 1.0 for v in variance.tolist()]
    return tuple(mean.tolist()), tuple(std)


def check_labels(labels: Tensor, classes: int | None, where: str) -> int:
    """The number of classes: `classes` if given, otherwise the largest label plus one.

    Raises ForetellError for labels out of range.
    """
    low, high = int(labels.min()), int(labels.max())
    if low < 0:
        raise ForetellError(f"{where}: label {low} is out of range; labels start at 0")
    if classes is not None and high >= classes:
        raise ForetellError(
            f"{where}: label {high} is out of range; with classes={classes}, labels run from 0 to "
            f"{classes - 1}"
        )
    return high + 1 if classes is None else classes
