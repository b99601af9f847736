"""Labelled samples in three splits, and the class-balanced minibatch to score networks on."""

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor

from foretell.batch import Batch, HasArray, Kind, as_tensor
from foretell.checks import as_instance, as_integer, as_seed, as_text, keep, optional, wrong
from foretell.data.tokens import Vocabulary
from foretell.errors import ForetellError

__all__ = ["Images", "Part", "Split", "Splits", "cut", "first_of_each", "minibatch"]


class Images(Protocol):
    """Normalised images: a tensor, float32 [N, C, H, W], or an object that reads them lazily."""

    @property
    def shape(self) -> torch.Size:
        """[N, C, H, W]."""
        ...

    def __getitem__(self, rows: Any, /) -> Tensor:
        """The images of these rows."""
        ...

    def to(self, device: torch.device, *, memory_format: torch.memory_format) -> Tensor:
        """All images, in memory."""
        ...


Part: TypeAlias = tuple[Images, Tensor]
"""Images and their labels, int64 [N], in 0..classes-1. For text: token ids, int64 [N, length], and
labels, or the token that follows each, int64 [N, length]. For audio: frames, float32
[N, time, features], and a label for every fourth frame, int64 [N, time / 4 rounded up]."""

Split: TypeAlias = tuple[Tensor, Tensor]
"""A part, or a selection of its samples, in memory."""

SPLIT_SEED = 0

LABELLED_FRAMES = 4
"""One label per this number of audio frames: the output rate of NAS-Bench-ASR's networks."""


@dataclass(frozen=True, eq=False, repr=False)
class Splits:
    """The training, validation and test samples of a data set.

    Arrays, such as NumPy's, become tensors. Raises ForetellError for fields of other types, for a
    part with more samples than labels or fewer, a training part without samples, and labels that
    are not in 0..classes-1.

    >>> part = torch.zeros(6, 3, 8, 8), torch.tensor([0, 1, 0, 1, 0, 1])
    >>> Splits("mine", 2, train=part, val=part, test=part).sample_shape
    (3, 8, 8)
    """

    name: str
    classes: int
    train: Part
    val: Part
    test: Part
    vocabulary: Vocabulary | None = None
    """For text: the tokens that the ids stand for; otherwise None."""
    note: str = ""
    """A note for the user about the preprocessing of the samples, such as cropping."""

    def __post_init__(self) -> None:
        keep(self, "name", as_text)
        keep(self, "classes", as_integer)
        for name in ("train", "val", "test"):
            keep(self, name, as_part)
            require_labels(name, getattr(self, name), self.classes)
        if not len(self.train[1]):
            raise ForetellError("train has no samples; give at least one")
        keep(self, "vocabulary", optional(as_instance), Vocabulary)
        keep(self, "note", as_text, empty=True)

    def __repr__(self) -> str:
        train, val, test = (len(part[1]) for part in (self.train, self.val, self.test))
        return (
            f"Splits({self.name!r}, classes={self.classes}, train={train}, val={val}, test={test})"
        )

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hex digits that differ when any pixel, any label or their order differs.

        For images that are read lazily, the names and sizes of files are used instead of pixels.
        """
        parts = (self.train, self.val, self.test)
        digest = hashlib.sha256("".join(part_fingerprint(*part) for part in parts).encode())
        return digest.hexdigest()[:16]

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """The shape of a sample: [channels, height, width] of an image, or [length] of a text."""
        return tuple(self.train[0].shape[1:])

    @property
    def kind(self) -> Kind:
        """The kind of the samples: images, tokens, audio or rows of a table."""
        return kind_of(self.sample_shape, self.vocabulary)

    @property
    def labelled(self) -> bool:
        """Whether a sample has a single label, rather than one for each of its tokens or frames."""
        return self.train[1].ndim == 1

    @property
    def loss(self) -> str:
        """The name of the loss that fits the labels: cross-entropy of samples or of tokens."""
        return "cross_entropy" if self.labelled else "token_cross_entropy"


def as_part(name: str, value: object) -> Part:
    """A pair of samples and labels, with arrays converted to tensors."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise wrong(name, value, "a pair (samples, labels), such as data.train")
    samples, labels = (as_tensor(name, one) if isinstance(one, HasArray) else one for one in value)
    if not isinstance(labels, Tensor) or not labels.ndim or labels.is_complex() or labels.is_meta:
        raise wrong(f"the second of {name}", labels, "a tensor of labels")
    if not hasattr(samples, "shape") or not len(samples.shape):
        raise wrong(f"the first of {name}", samples, "a tensor of samples")
    if samples.shape[0] != len(labels):
        raise ForetellError(
            f"{name} has {samples.shape[0]} samples and {len(labels)} labels; expected as many "
            "labels"
        )
    return samples, labels


def require_labels(name: str, part: Part, classes: int) -> None:
    """Raise ForetellError for labels of classes that do not exist; numbers are not labels."""
    labels = part[1]
    if labels.is_floating_point() or not labels.numel():
        return
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise ForetellError(
            f"{name} has the label {low if low < 0 else high}; with {classes} classes, labels are "
            f"from 0 to {classes - 1}"
        )


def kind_of(shape: tuple[int, ...], vocabulary: Vocabulary | None) -> Kind:
    """The kind of samples with this shape; with a vocabulary, they are text.

    >>> kind_of((3, 32, 32), None), kind_of((64, 80), None), kind_of((30,), None)
    ('image', 'audio', 'table')
    """
    if vocabulary is not None:
        return "tokens"
    kinds: dict[int, Kind] = {3: "image", 2: "audio"}
    return kinds.get(len(shape), "table")


def part_fingerprint(images: Images, labels: Tensor) -> str:
    """Sixteen hex digits for one part."""
    if isinstance(images, Tensor):
        return Batch(images, labels).fingerprint
    return f"{getattr(images, 'fingerprint', '')}{Batch(labels).fingerprint}"


def minibatch(part: Part, size: int, seed: int) -> Split:
    """Draw `size` different samples with their labels; class counts differ by at most one.

    If a class has too few samples, samples of the other classes fill the batch. Samples without a
    class are drawn at random. With the same seed, a smaller batch is the beginning of a larger one.
    Raises ForetellError unless 1 <= size <= samples in the part.

    >>> images, labels = torch.zeros(6, 1, 8, 8), torch.tensor([0, 0, 0, 0, 1, 1])
    >>> x, y = minibatch((images, labels), size=4, seed=0)
    >>> x.shape, y.bincount()
    (torch.Size([4, 1, 8, 8]), tensor([2, 2]))
    """
    images, labels = as_part("part", part)
    size, seed = as_integer("size", size), as_seed("seed", seed)
    if size > len(labels):
        raise ForetellError(
            f"the size of the minibatch is {size}; expected 1 to {len(labels)}, the number of "
            "samples"
        )
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    if labels.ndim == 1 and not labels.is_floating_point():
        order = order[first_of_each(labels[order])]
    chosen = order[:size]
    return images[chosen], labels[chosen]


def first_of_each(labels: Tensor) -> Tensor:
    """The order in which the first sample of every class precedes the second of any class.

    >>> first_of_each(torch.tensor([7, 7, 7, 3]))
    tensor([0, 3, 1, 2])
    """
    by_class = labels.argsort(stable=True)
    grouped = labels[by_class]
    turn = torch.empty_like(labels)  # the position of each sample within its class
    turn[by_class] = torch.arange(len(labels)) - torch.searchsorted(grouped, grouped)
    return turn.argsort(stable=True)


def cut(labels: Tensor, *held_out: Callable[[int], int]) -> list[Tensor]:
    """Split rows into the remaining rows and those of each held-out part, in ascending order.

    Each part receives `held_out(n)` samples of a class with n samples, drawn with a fixed seed.
    Samples without a class (labels of more dimensions) are treated as one class.

    >>> rest, part = cut(torch.tensor([0, 0, 0, 1, 1, 1]), lambda n: n // 3)
    >>> len(rest), len(part), len(set(rest.tolist()) & set(part.tolist()))
    (4, 2, 0)
    """
    rng = random.Random(SPLIT_SEED)
    parts: list[list[int]] = [[] for _ in range(len(held_out) + 1)]
    classes = labels if labels.ndim == 1 else torch.zeros(len(labels), dtype=torch.int64)
    for label in sorted(set(classes.tolist())):
        rows = (classes == label).nonzero().flatten().tolist()
        rng.shuffle(rows)
        start = 0
        for part, count in zip(parts[1:], held_out, strict=True):
            stop = start + count(len(rows))
            part.extend(rows[start:stop])
            start = stop
        parts[0].extend(rows[start:])
    return [torch.tensor(sorted(part), dtype=torch.int64) for part in parts]
