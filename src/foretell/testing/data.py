"""The laws that every data set has to keep."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from foretell.data import Splits, minibatch
from foretell.testing.generators import generator_states

__all__ = ["check_data"]

PARTS = ("train", "val", "test")


def check_data(data: Splits | Callable[[], Splits], *, disjoint: bool = True) -> None:
    """Raise AssertionError, saying which law is broken, unless the data keep them all.

    `data` are splits, or a function that loads them: then loading twice must give the same and move
    no global generator. All samples are read. `disjoint=False` allows for samples that the source
    itself holds twice, in different parts.

    >>> from foretell import load_data
    >>> check_data(lambda: load_data("digits"))
    """
    before = generator_states()
    splits = data() if callable(data) else data
    assert isinstance(splits, Splits), f"the data are a {type(splits).__name__}, not Splits"
    if callable(data):
        assert generator_states() == before, "loading moved a global random number generator"
        again = data().fingerprint
        assert again == splits.fingerprint, "loading twice gives data of different fingerprints"
    for part in PARTS:
        check_part(splits, part)
    if disjoint:
        check_disjoint(splits)
    check_fingerprint(splits)
    check_minibatch(splits)
    assert generator_states() == before, "reading moved a global random number generator"


def check_part(splits: Splits, part: str) -> None:
    """Samples and labels of one part are as many, of the right kinds, and in range."""
    samples, labels = getattr(splits, part)
    assert isinstance(labels, Tensor), f"the labels of {part} are not a tensor"
    assert len(labels), f"{part} has no samples"
    assert samples.shape[0] == len(labels), (
        f"{part} has {samples.shape[0]} samples and {len(labels)} labels"
    )
    shape = tuple(samples.shape[1:])
    assert shape == splits.sample_shape, (
        f"a sample of {part} has shape {shape}, one of train {splits.sample_shape}"
    )
    assert labels.dtype == torch.int64, f"the labels of {part} are {labels.dtype}, not int64"
    assert int(labels.min()) >= 0, f"a label of {part} is negative"
    assert int(labels.max()) < splits.classes, (
        f"a label of {part} is {int(labels.max())}; there are {splits.classes} classes"
    )
    check_samples(splits, part)


def check_samples(splits: Splits, part: str) -> None:
    """All rows can be read, by slices and by numbers, and are numbers that a network can take."""
    samples = getattr(splits, part)[0]
    read = samples[:]
    kind = torch.float32 if splits.vocabulary is None else torch.int64
    assert read.dtype == kind, f"the samples of {part} are {read.dtype}, not {kind}"
    assert tuple(read.shape) == tuple(samples.shape), f"{part} is not of the shape that it says"
    assert read.isfinite().all(), f"a sample of {part} is not finite"
    if splits.vocabulary is not None:
        in_range = int(read.min()) >= 0 and int(read.max()) < splits.vocabulary.size
        assert in_range, f"a token of {part} is not in the vocabulary"
    rows = torch.tensor([len(read) - 1, 0])
    assert torch.equal(samples[rows], read[rows]), f"rows of {part} depend on how they are read"
    assert torch.equal(samples[:], read), f"reading {part} twice gives different samples"
    layout = torch.contiguous_format
    moved = samples.to(torch.device("cpu"), memory_format=layout)
    assert torch.equal(moved, read), f"`to` gives other samples of {part}"


def check_disjoint(splits: Splits) -> None:
    """No sample is in two parts."""
    held = {part: rows_of(getattr(splits, part)[0][:]) for part in PARTS}
    for one, other in (("train", "val"), ("train", "test"), ("val", "test")):
        both = len(held[one] & held[other])
        assert not both, f"{both} of the samples of {one} are in {other}, too"


def rows_of(samples: Tensor) -> set[bytes]:
    """The samples' bits."""
    return {row.numpy().tobytes() for row in samples}


def check_fingerprint(splits: Splits) -> None:
    """It changes when a sample, a label, or the part that they are in changes."""
    samples, labels = splits.val
    changed = labels.clone()
    changed.view(-1)[0] = (changed.view(-1)[0] + 1) % max(2, splits.classes)
    others: dict[str, Any] = {"label": {"val": (samples, changed)}}
    if isinstance(samples, Tensor):
        nudged = samples.clone()
        nudged.view(-1)[0] += 1
        others["sample"] = {"val": (nudged, labels)}
    else:
        told = getattr(samples, "fingerprint", "")
        assert told, "samples that are read when asked for need a `fingerprint`, a text"
    if not torch.equal(samples[:], splits.test[0][:]):
        others["order of the parts"] = {"val": splits.test, "test": splits.val}
    for what, change in others.items():
        differs = replace(splits, **change).fingerprint != splits.fingerprint
        assert differs, f"the fingerprint does not notice another {what}"


def check_minibatch(splits: Splits) -> None:
    """A small batch to score networks on can be drawn."""
    size = min(8, len(splits.train[1]))
    samples, labels = minibatch(splits.train, size, seed=0)
    assert tuple(samples.shape) == (size, *splits.sample_shape), "a minibatch has another shape"
    again = minibatch(splits.train, size, seed=0)
    same = torch.equal(samples, again[0]) and torch.equal(labels, again[1])
    assert same, "drawing the same minibatch twice gives different samples"
