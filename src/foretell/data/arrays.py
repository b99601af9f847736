"""Images from an array in memory: a NumPy file, or what a library has loaded."""

import hashlib
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from foretell.data.lazy import LazyImages, assemble, check_labels
from foretell.data.splits import Splits
from foretell.errors import ForetellError

__all__ = ["from_array", "npz"]

CHANNELS = (1, 3, 4)


def npz(
    file: str,
    *,
    images: str = "images",
    labels: str = "labels",
    classes: int | None = None,
    held_out: float = 0.1,
) -> Splits:
    """A NumPy file with arrays `images`, uint8 [N, H, W, C] or [N, C, H, W], and `labels`, [N].

    Where the arrays have other names, `images=` and `labels=` give them.
    """
    arrays = read_npz(Path(file), images, labels)
    if arrays[1].dtype.kind not in "iu" or arrays[1].ndim != 1 or not len(arrays[1]):
        raise ForetellError(
            f"{file}: {labels!r} is {describe(arrays[1])}; it must hold a whole number an image"
        )
    if len(arrays[0]) != len(arrays[1]):
        raise ForetellError(
            f"{file} has {len(arrays[0])} images but {len(arrays[1])} labels; give one each"
        )
    targets = torch.as_tensor(arrays[1].astype(np.int64))
    found = check_labels(targets, classes, file)
    parts = {"train": (from_array(arrays[0], f"{file}: {images!r}"), targets)}
    return assemble(f"npz:{Path(file).name}", parts, found, held_out)


def read_npz(path: Path, *names: str) -> list[np.ndarray[Any, Any]]:
    """The arrays of these names. Raises ForetellError for a file that doesn't hold them."""
    if not path.is_file():
        raise ForetellError(f"there is no file {path}; give the path of an .npz file")
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            missing = [name for name in names if name not in file.files]
            if missing:
                raise ForetellError(
                    f"{path} has no array {missing[0]!r}; it holds {', '.join(file.files)}"
                )
            return [file[name] for name in names]
    except ForetellError:
        raise
    except Exception as error:  # zipfile, zlib, pickle and NumPy each have their own
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ForetellError(
            f"{path} is no complete .npz file ({reason[:100]}); save it again by numpy.savez"
        ) from error


def from_array(pixels: Any, what: str) -> LazyImages:
    """Images that lie in an array, uint8 [N, H, W], [N, H, W, C] or [N, C, H, W].

    Raises ForetellError for any other; `what` is what its message calls the array.
    """
    array = np.asarray(pixels)
    if array.dtype != np.uint8 or array.ndim not in (3, 4):
        raise ForetellError(
            f"{what} is {describe(array)}; it must be uint8 of shape [N, H, W, C], [N, C, H, W] or "
            "[N, H, W]"
        )
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    if tensor.ndim == 3:
        tensor = tensor[:, None]
    elif tensor.shape[3] in CHANNELS:
        tensor = tensor.permute(0, 3, 1, 2)
    elif tensor.shape[1] not in CHANNELS:
        raise ForetellError(
            f"{what} is {describe(array)}; neither its second nor its last dimension are the 1, 3 "
            "or 4 channels of an image"
        )
    channels, height, width = tensor.shape[1:]
    rows = torch.arange(len(tensor))
    source = partial(digest, tensor)
    return LazyImages(partial(pick, tensor), rows, (channels, height, width), source)


def pick(pixels: Tensor, rows: Tensor) -> Tensor:
    """The pixels of these rows."""
    return pixels[rows]


def digest(pixels: Tensor) -> str:
    """Differs when any pixel does."""
    return hashlib.sha256(pixels.contiguous().numpy().data).hexdigest()


def describe(array: np.ndarray[Any, Any]) -> str:
    """The type and shape of an array."""
    return f"{array.dtype} of shape {list(array.shape)}"
