"""Random samples, for scores that should not depend on data, or in the absence of data."""

import re
from functools import partial

import torch
from torch import Tensor

from foretell.checks import as_integer, as_seed
from foretell.data.lazy import LazyImages
from foretell.data.splits import LABELLED_FRAMES, Part, Splits
from foretell.errors import ForetellError
from foretell.seeds import derived_seed

__all__ = ["random"]

CLASSES = 10
DIGITS = 9
"""The maximum number of digits of a size; PyTorch cannot handle larger sizes."""


def random(
    form: str = "3x32x32x10", *, images: int = 1000, classes: int | None = None, seed: int = 0
) -> Splits:
    """Gaussian images, `CxHxW` or `CxHxWxCLASSES`, or frames of audio, `TIMExFEATURES`.

    All classes have equally many images. Every fourth frame has a label. The validation and test
    splits each have a fifth as many samples as the training split. A sample depends only on `seed`
    and its index, and is drawn when it is accessed.

    >>> splits = random("1x8x8x4", images=20)
    >>> splits.sample_shape, splits.train[1].bincount().tolist()
    ((1, 8, 8), [5, 5, 5, 5])
    >>> random("64x80", classes=49).train[1].shape
    torch.Size([1000, 16])
    """
    size, count = read_form(form, classes)
    images, seed = as_integer("images", images), as_seed("seed", seed)

    def part(start: int, stop: int) -> Part:
        rows = torch.arange(start, stop)
        source = partial(str, f"random {seed}")
        return LazyImages(partial(draw, size, seed), rows, size, source), labels(rows)

    def labels(rows: Tensor) -> Tensor:
        if len(size) == 3:
            return rows % count
        return (rows[:, None] + torch.arange(0, size[0], LABELLED_FRAMES)) % count

    most, all_ = images + images // 5, images + 2 * (images // 5)
    name = f"random:{form}" if classes is None else f"random:{form}?classes={classes}"
    return Splits(name, count, part(0, images), part(images, most), part(most, all_))


def read_form(form: str, classes: int | None) -> tuple[tuple[int, ...], int]:
    """The shape of a sample and the number of classes."""
    numbers = form.split("x")
    if not 2 <= len(numbers) <= 4 or not all(re.fullmatch("[0-9]*[1-9][0-9]*", n) for n in numbers):
        raise ForetellError(
            f"random:{form} does not give a shape; write random:CxHxW, random:CxHxWxCLASSES or "
            "random:TIMExFEATURES, such as random:3x32x32x10"
        )
    if any(len(number) > DIGITS for number in numbers):
        raise ForetellError(f"random:{form} is too large; expected sizes below 10^{DIGITS}")
    *size, last = map(int, numbers)
    if len(size) < 3:
        size, last = [*size, last], CLASSES if classes is None else classes
    elif classes is not None:
        raise ForetellError(
            f"random:{form} already gives {last} classes; leave out classes={classes}"
        )
    if last < 1:
        raise ForetellError(f"classes is {last}; expected at least 1")
    return tuple(size), last


def draw(size: tuple[int, ...], seed: int, rows: Tensor) -> Tensor:
    """Draw the samples of these rows, independently of which other rows are drawn."""
    drawn = [
        torch.randn(size, generator=torch.Generator().manual_seed(derived_seed(seed, "image", row)))
        for row in rows.tolist()
    ]
    return torch.stack(drawn) if drawn else torch.empty(0, *size)
