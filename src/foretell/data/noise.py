"""Images of nothing: for scores that should not depend on data, and where there is none."""

import re
from functools import partial

import torch
from torch import Tensor

from foretell.data.lazy import LazyImages
from foretell.data.splits import Part, Splits
from foretell.errors import ForetellError
from foretell.seeds import derived_seed

__all__ = ["random"]

FORM = re.compile(r"(\d+)x(\d+)x(\d+)(?:x(\d+))?")


def random(form: str = "3x32x32x10", *, images: int = 1000, seed: int = 0) -> Splits:
    """Gaussian images of any shape, `CxHxW` or `CxHxWxCLASSES`, and labels of equal number.

    Validation and test parts have a fifth of the number of training images. An image follows from
    `seed` and its place, and is drawn when it is asked for.

    >>> splits = random("1x8x8x4", images=20)
    >>> splits.image_shape, splits.train[1].bincount().tolist()
    ((1, 8, 8), [5, 5, 5, 5])
    """
    match = FORM.fullmatch(form)
    if not match or "0" in match.groups(""):
        raise ForetellError(
            f"random:{form} has no shape; write random:CxHxW or random:CxHxWxCLASSES, such as "
            "random:3x32x32x10"
        )
    channels, height, width, classes = (int(number) for number in match.groups("10"))
    if images < 1:
        raise ForetellError(f"images is {images}; ask for at least 1")
    size = (channels, height, width)

    def part(start: int, count: int) -> Part:
        rows = torch.arange(start, start + count)
        source = partial(str, f"random {seed}")
        return LazyImages(partial(draw, size, seed), rows, size, source), rows % classes

    held_out = images // 5
    parts = part(0, images), part(images, held_out), part(images + held_out, held_out)
    return Splits(f"random:{form}", classes, *parts)


def draw(size: tuple[int, ...], seed: int, rows: Tensor) -> Tensor:
    """The images of these rows, whatever others are drawn."""
    drawn = [
        torch.randn(size, generator=torch.Generator().manual_seed(derived_seed(seed, "image", row)))
        for row in rows.tolist()
    ]
    return torch.stack(drawn) if drawn else torch.empty(0, *size)
