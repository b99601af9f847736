"""Images from an array in memory: a NumPy file, or an array that a library has loaded."""

import hashlib
import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from foretell.data.audio import audio_splits, is_audio
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

    `images=` and `labels=` are the names of the arrays, if they differ. Floating-point `images`
    [N, time, features] are frames of audio; their labels are [N, time / 4 rounded up].
    """
    arrays, name = read_npz(Path(file), images, labels), f"npz:{Path(file).name}"
    if is_audio(arrays[0]):
        return audio_splits(name, file, arrays[0], arrays[1], classes, held_out)
    if arrays[1].dtype.kind not in "iu" or arrays[1].ndim != 1 or not len(arrays[1]):
        raise ForetellError(
            f"{file}: {labels!r} is {describe(arrays[1])}; expected one integer label per image"
        )
    if len(arrays[0]) != len(arrays[1]):
        raise ForetellError(
            f"{file} has {len(arrays[0])} images but {len(arrays[1])} labels; expected one label "
            "per image"
        )
    targets = torch.as_tensor(arrays[1].astype(np.int64))
    found = check_labels(targets, classes, file)
    parts = {"train": (from_array(arrays[0], f"{file}: {images!r}"), targets)}
    return assemble(name, parts, found, held_out)


def read_npz(path: Path, *names: str) -> list[np.ndarray[Any, Any]]:
    """The arrays with these names. Raises ForetellError if the file does not contain them."""
    if not os.path.isfile(path):
        raise ForetellError(f"there is no file {path}; give the path of an .npz file")
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            missing = [name for name in names if name not in file.files]
            if missing:
                raise ForetellError(
                    f"{path} has no array {missing[0]!r}; its arrays are {', '.join(file.files)}"
                )
            return [file[name] for name in names]
    except ForetellError:
        raise
    except Exception as error:  # zipfile, zlib, pickle and NumPy raise different exceptions
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ForetellError(
            f"{path} is not a complete .npz file ({reason[:100]}); save it again with numpy.savez"
        ) from error


def from_array(pixels: Any, what: str) -> LazyImages:
    """The images in an array, uint8 [N, H, W], [N, H, W, C] or [N, C, H, W].

    Raises ForetellError for any other array; `what` names the array in its message.
    """
    array = np.asarray(pixels)
    if array.dtype != np.uint8 or array.ndim not in (3, 4):
        raise ForetellError(
            f"{what} is {describe(array)}; expected uint8 of shape [N, H, W, C], [N, C, H, W] or "
            "[N, H, W]"
        )
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    if tensor.ndim == 3:
        tensor = tensor[:, None]
    elif tensor.shape[3] in CHANNELS:
        tensor = tensor.permute(0, 3, 1, 2)
    elif tensor.shape[1] not in CHANNELS:
        raise ForetellError(
            f"{what} is {describe(array)}; expected 1, 3 or 4 channels in its second or its last "
            "dimension"
        )
    channels, height, width = tensor.shape[1:]
    rows = torch.arange(len(tensor))
    source = partial(digest, tensor)
    return LazyImages(partial(pick, tensor), rows, (channels, height, width), source)


def pick(pixels: Tensor, rows: Tensor) -> Tensor:
    """The pixels of the images at these rows."""
    return pixels[rows]


def digest(pixels: Tensor) -> str:
    """A digest of all pixels of an array."""
    return hashlib.sha256(pixels.contiguous().numpy().data).hexdigest()


def describe(array: np.ndarray[Any, Any]) -> str:
    """The type and shape of an array."""
    return f"{array.dtype} of shape {list(array.shape)}"
