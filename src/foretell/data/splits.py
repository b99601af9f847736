"""Labelled images in three parts, and a small balanced batch of them to score networks on."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import torch
from torch import Tensor

from foretell.batch import Batch
from foretell.errors import ForetellError

__all__ = ["Split", "Splits", "minibatch"]

Split: TypeAlias = tuple[Tensor, Tensor]
"""Images, float32 [N, C, H, W], normalised; and labels, int64 [N], in 0..classes-1."""


@dataclass(frozen=True, eq=False)
class Splits:
    """Images to learn from, to choose by, and to report on."""

    name: str
    classes: int
    train: Split
    val: Split
    test: Split

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hex digits that differ when any pixel, label or its place differs."""
        parts = (self.train, self.val, self.test)
        digest = hashlib.sha256("".join(Batch(*part).fingerprint for part in parts).encode())
        return digest.hexdigest()[:16]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        channels, height, width = self.train[0].shape[1:]
        return channels, height, width


def minibatch(split: Split, size: int, seed: int) -> Split:
    """`size` different images and their labels, every class as often as any other, or one more.

    Where a class has too few, the others fill in. With one seed a smaller batch is the beginning
    of a larger one. Raises ForetellError unless 1 <= size <= images in the split.

    >>> images, labels = torch.zeros(6, 1, 8, 8), torch.tensor([0, 0, 0, 0, 1, 1])
    >>> x, y = minibatch((images, labels), size=4, seed=0)
    >>> x.shape, y.bincount()
    (torch.Size([4, 1, 8, 8]), tensor([2, 2]))
    """
    images, labels = split
    if not 1 <= size <= len(labels):
        raise ForetellError(
            f"a minibatch of {size} was asked for; give a size of 1 to {len(labels)}, "
            "as many as there are images"
        )
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    turn = torch.empty_like(order)  # of each image among those of its class
    for label in set(labels.tolist()):
        own = labels[order] == label
        turn[own] = torch.arange(int(own.sum()))
    chosen = order[turn.argsort(stable=True)[:size]]
    return images[chosen], labels[chosen]
