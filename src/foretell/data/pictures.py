"""Images from files of any size: opened, resized and cropped when they are accessed."""

import hashlib
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from foretell.data.lazy import LazyImages, assemble
from foretell.data.splits import Splits
from foretell.errors import ForetellError, unknown_name
from foretell.names import extra

__all__ = ["folder", "from_pictures"]

ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
PARTS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
SIZE = 224
"""The default image size for images of different sizes."""
LOOKED_AT = 64
"""The number of images whose size is inspected."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""The usual statistics of ImageNet; measuring those of a large folder would take longer than
scoring."""

Open = Callable[[int], Any]
"""A function that returns the image with this index as a Pillow image."""


def folder(
    path: str, *, size: int | None = None, channels: int | None = None, held_out: float = 0.1
) -> Splits:
    """A folder of images with one subfolder per class, possibly below `train`, `val` and `test`.

    Images are opened when they are accessed. If the inspected images all have the same size, it is
    kept; otherwise, the shorter side is resized to `size` (default: 224), and the centre is
    cropped.
    """
    top = Path(path)
    if not os.path.isdir(top):
        raise ForetellError(
            f"there is no folder {top}; give a folder that has one folder of images per class"
        )
    tops = {part: found for part, names in PARTS.items() if (found := one_of(top, names))}
    if "train" not in tops:
        tops = {"train": top}
    classes = [child.name for child in subfolders(tops["train"])]
    listed = {part: pictures_of(found, classes) for part, found in tops.items()}
    if not listed["train"]:
        raise ForetellError(
            f"{tops['train']} contains no folder with images; put the images of each class "
            f"({', '.join(ENDINGS)}) into a folder of their own"
        )
    first = [file for file, _ in listed["train"]]
    shape, note = common_shape(partial(opened, first), len(first), size, channels, str(top))
    parts = {}
    for part, pairs in listed.items():
        files = [file for file, _ in pairs]
        source = partial(names_and_sizes, files, top)
        images = from_pictures(partial(opened, files), len(files), shape, source)
        parts[part] = images, torch.tensor([label for _, label in pairs], dtype=torch.int64)
    name = f"folder:{top.resolve().name}"
    return assemble(name, parts, len(classes), held_out, note)


def one_of(top: Path, names: Sequence[str]) -> Path | None:
    """The first of these folders that exists and contains folders."""
    found = [top / name for name in names if (top / name).is_dir() and subfolders(top / name)]
    return found[0] if found else None


def subfolders(top: Path) -> list[Path]:
    """The folders in a folder except hidden ones, sorted."""
    return sorted(c for c in top.iterdir() if c.is_dir() and not c.name.startswith("."))


def pictures_of(top: Path, classes: list[str]) -> list[tuple[Path, int]]:
    """Each image file below the folder, with the index of its class."""
    found: list[tuple[Path, int]] = []
    for child in subfolders(top):
        if child.name not in classes:
            said = f"{child} is not a class of the training split"
            raise unknown_name("class", child.name, classes, said)
        label = classes.index(child.name)
        files = sorted(f for f in child.rglob("*") if f.suffix.lower() in ENDINGS and f.is_file())
        found.extend((file, label) for file in files)
    return found


def opened(files: Sequence[Path], number: int) -> Any:
    """The image in a file. Raises ForetellError if the file is not an image."""
    image = extra("PIL.Image", "torchvision")
    try:
        picture = image.open(files[number])
        picture.load()
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ForetellError(
            f"{files[number]} cannot be read as an image ({reason[:100]}); replace or remove it"
        ) from error
    return picture


def common_shape(
    open_: Open, count: int, size: int | None, channels: int | None, where: str
) -> tuple[tuple[int, int, int], str]:
    """The shape to which all images are converted, and a note to the user about it."""
    step = max(1, count // LOOKED_AT)
    seen = [open_(number) for number in range(0, count, step)]
    sizes = {picture.size for picture in seen}
    if channels is None:
        channels = 1 if {picture.mode for picture in seen} <= {"1", "L"} else 3
    if channels not in (1, 3):
        raise ForetellError(f"channels is {channels}; expected 1 (grey) or 3 (colour)")
    if size is None and len(sizes) == 1:
        width, height = sizes.pop()
        return (channels, height, width), ""
    size = SIZE if size is None else size
    if not isinstance(size, int) or size < 1:
        raise ForetellError(f"size is {size!r}; expected a number of pixels, such as size={SIZE}")
    if sizes == {(size, size)}:
        return (channels, size, size), ""
    note = (
        f"the images of {where} are resized, the shorter side to {size} pixels, and cropped to "
        f"{size}x{size} at the centre"
    )
    return (channels, size, size), note


def from_pictures(
    open_: Open, count: int, shape: tuple[int, int, int], source: Callable[[], str]
) -> LazyImages:
    """Images that are opened when they are accessed, normalised by the statistics of ImageNet."""
    scale = 255 / 3 if shape[0] == 1 else 255
    mean = [sum(MEAN) * scale] if shape[0] == 1 else [value * scale for value in MEAN]
    std = [sum(STD) * scale] if shape[0] == 1 else [value * scale for value in STD]
    read = partial(read_pictures, open_, shape)
    return LazyImages(read, torch.arange(count), shape, source, tuple(mean), tuple(std))


def read_pictures(open_: Open, shape: tuple[int, int, int], rows: Tensor) -> Tensor:
    """The pixels of the images at these rows, uint8 [n, C, H, W]."""
    try:
        pictures = [pixels(open_(row), shape) for row in rows.tolist()]
    except OSError as error:
        reason = " ".join(str(error).split())
        raise ForetellError(
            f"an image cannot be read ({reason[:150]}); replace or remove it"
        ) from error
    return torch.stack(pictures) if pictures else torch.empty(0, *shape, dtype=torch.uint8)


def pixels(picture: Any, shape: tuple[int, int, int]) -> Tensor:
    """An image as uint8 [C, H, W], resized to cover height and width, then cropped to them."""
    channels, height, width = shape
    picture = picture.convert("L" if channels == 1 else "RGB")
    scale = max(height / picture.height, width / picture.width)
    if scale != 1 or picture.size != (width, height):
        covering = (
            max(width, round(picture.width * scale)),
            max(height, round(picture.height * scale)),
        )
        picture = picture.resize(covering, extra("PIL.Image", "torchvision").Resampling.BILINEAR)
        left, top = (picture.width - width) // 2, (picture.height - height) // 2
        picture = picture.crop((left, top, left + width, top + height))
    array = torch.from_numpy(np.array(picture, dtype=np.uint8))
    return array.reshape(height, width, channels).permute(2, 0, 1)


def names_and_sizes(files: Sequence[Path], top: Path) -> str:
    """A digest of the names and sizes of the files, without reading the files."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(top).as_posix()} {file.stat().st_size}\n".encode())
    return digest.hexdigest()
