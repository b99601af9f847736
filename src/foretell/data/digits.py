"""Handwritten digits: 1,797 real images of 8x8 pixels that are included in scikit-learn.

Alpaydin & Kaynak 1998, Optical Recognition of Handwritten Digits, UCI Machine Learning
Repository, doi:10.24432/C50P49; scikit-learn includes its test set.
"""

import math

import torch
from torch import Tensor

from foretell.checks import as_flag
from foretell.data.splits import Split, Splits, cut

__all__ = ["digits"]

HELD_OUT_PER_CLASS = 35
"""The number of samples of each class for validation, and again for testing."""


def digits(*, flat: bool = False) -> Splits:
    """Handwritten digits, 8x8 grey: 1,097 for training, 350 for validation, 350 for testing.

    The split is fixed and stratified. Pixels are scaled to mean 0 and variance 1 over the
    training images. With `flat`, a sample is a row of 64 pixels, for networks that read tables.

    >>> splits = digits()
    >>> [len(labels) for _, labels in (splits.train, splits.val, splits.test)]
    [1097, 350, 350]
    >>> digits(flat=True).sample_shape
    (64,)
    """
    from sklearn.datasets import load_digits  # it is slow to import and only needed here

    raw = load_digits()
    pixels = torch.as_tensor(raw.images, dtype=torch.float64).unsqueeze(1)  # integers 0..16
    labels = torch.as_tensor(raw.target, dtype=torch.int64)
    train, val, test = cut(labels, lambda _: HELD_OUT_PER_CLASS, lambda _: HELD_OUT_PER_CLASS)
    # sums of integers are exact in float64, so every machine computes the same bits
    count, total = pixels[train].numel(), pixels[train].sum().item()
    mean = total / count
    std = math.sqrt(pixels[train].square().sum().item() / count - mean**2)
    images = ((pixels - mean) / std).float()
    if as_flag("flat", flat):
        images = images.flatten(1)

    def part(rows: Tensor) -> Split:
        return images[rows], labels[rows]

    name = "digits?flat=true" if flat else "digits"
    return Splits(name, len(raw.target_names), part(train), part(val), part(test))
