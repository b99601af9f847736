"""Handwritten digits: 1,797 real images of 8x8 pixels that come with scikit-learn.

Alpaydin & Kaynak 1998, Optical Recognition of Handwritten Digits, UCI Machine Learning
Repository, doi:10.24432/C50P49; scikit-learn ships its test part.
"""

import math

import torch
from torch import Tensor

from foretell.data.splits import Split, Splits, cut

__all__ = ["digits"]

HELD_OUT_PER_CLASS = 35
"""Of each class, so many for validation and as many for testing; the rest is to train on."""


def digits() -> Splits:
    """Handwritten digits, 8x8 grey: 1,097 to train on, 350 to validate, 350 to test.

    The split is fixed and stratified. Pixels are scaled to mean 0 and variance 1 over the
    training images.

    >>> splits = digits()
    >>> [len(labels) for _, labels in (splits.train, splits.val, splits.test)]
    [1097, 350, 350]
    """
    from sklearn.datasets import load_digits  # seconds to import, needed nowhere else

    raw = load_digits()
    pixels = torch.as_tensor(raw.images, dtype=torch.float64).unsqueeze(1)  # integers 0..16
    labels = torch.as_tensor(raw.target, dtype=torch.int64)
    train, val, test = cut(labels, lambda _: HELD_OUT_PER_CLASS, lambda _: HELD_OUT_PER_CLASS)
    # sums of integers are exact in float64, so every machine makes the same bits of them
    count, total = pixels[train].numel(), pixels[train].sum().item()
    mean = total / count
    std = math.sqrt(pixels[train].square().sum().item() / count - mean**2)
    images = ((pixels - mean) / std).float()

    def part(rows: Tensor) -> Split:
        return images[rows], labels[rows]

    return Splits("digits", len(raw.target_names), part(train), part(val), part(test))
