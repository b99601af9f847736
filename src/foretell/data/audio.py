"""Frames of audio, with a label for every fourth frame."""

from typing import Any

import numpy as np
import torch

from foretell.data.lazy import check_labels, completed
from foretell.data.splits import LABELLED_FRAMES, Splits
from foretell.errors import ForetellError

__all__ = ["audio_splits", "is_audio"]

Array = np.ndarray[Any, Any]


def is_audio(samples: Array) -> bool:
    """Whether an array contains frames rather than pixels: floats [N, time, features]."""
    return samples.dtype.kind == "f" and samples.ndim == 3


def audio_splits(
    name: str, file: str, frames: Array, labels: Array, classes: int | None, held_out: float
) -> Splits:
    """Splits of frames [N, time, features] and labels [N, time / 4 rounded up], without changes.

    Raises ForetellError for labels of another shape, and frames that are not finite.
    """
    count, time, _ = frames.shape
    expected = (count, -(-time // LABELLED_FRAMES))
    if labels.dtype.kind not in "iu" or labels.shape != expected or not labels.size:
        raise ForetellError(
            f"{file}: the labels are {labels.dtype} of shape {list(labels.shape)}; expected "
            f"integers of shape {list(expected)}, one for every fourth of {time} frames"
        )
    if not np.isfinite(frames).all():
        raise ForetellError(f"{file}: some frames are not finite; remove or replace them")
    targets = torch.as_tensor(labels.astype(np.int64))
    found = check_labels(targets, classes, file)
    part = torch.as_tensor(frames.astype(np.float32)), targets
    parts = completed({"train": part}, held_out, lambda samples, rows: samples[rows])
    return Splits(name, found, parts["train"], parts["val"], parts["test"])
