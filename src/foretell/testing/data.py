"""The requirements that every data set must meet."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from foretell.checks import as_flag, as_function
from foretell.data import Splits, minibatch
from foretell.errors import shown
from foretell.testing.generators import generator_states

__all__ = ["check_data"]

PARTS = ("train", "val", "test")


def check_data(data: Splits | Callable[[], Splits], *, disjoint: bool = True) -> None:
    """Raise AssertionError with the requirement that the data do not meet, if any.

    `data` are splits, or a function that loads them; loading twice must then give the same data and
    leave the global random number generators unchanged. All samples are read. `disjoint=False`
    permits samples that occur in different parts, for sources that contain duplicates.

    >>> from foretell import load_data
    >>> check_data(lambda: load_data("digits"))
    """
    if not isinstance(data, Splits):
        as_function("data", data, "Splits, or a function that loads them")
    disjoint = as_flag("disjoint", disjoint)
    before = generator_states()
    splits = data if isinstance(data, Splits) else data()
    assert isinstance(splits, Splits), f"the data are {shown(splits)}, not Splits"
    if callable(data):
        assert generator_states() == before, "loading changed a global random number generator"
        again = data().fingerprint
        assert again == splits.fingerprint, "loading twice gives data of different fingerprints"
    for part in PARTS:
        check_part(splits, part)
    if disjoint:
        check_disjoint(splits)
    check_fingerprint(splits)
    check_minibatch(splits)
    assert generator_states() == before, "reading changed a global random number generator"


def check_part(splits: Splits, part: str) -> None:
    """Check the samples and labels of a part beyond what `Splits` itself refuses."""
    samples, labels = getattr(splits, part)
    assert len(labels), f"{part} has no samples"
    shape = tuple(samples.shape[1:])
    assert shape == splits.sample_shape, (
        f"a sample of {part} has shape {shape}; expected that of train, {splits.sample_shape}"
    )
    assert labels.dtype == torch.int64, f"the labels of {part} are {labels.dtype}, not int64"
    check_samples(splits, part)


def check_samples(splits: Splits, part: str) -> None:
    """Check that all rows can be read, by slice and by index, and are valid network inputs."""
    samples = getattr(splits, part)[0]
    read = samples[:]
    kind = torch.float32 if splits.vocabulary is None else torch.int64
    assert read.dtype == kind, f"the samples of {part} are {read.dtype}, not {kind}"
    assert tuple(read.shape) == tuple(samples.shape), (
        f"reading {part} gives shape {tuple(read.shape)}, but its shape is {tuple(samples.shape)}"
    )
    assert read.isfinite().all(), f"a sample of {part} is not finite"
    if splits.vocabulary is not None:
        in_range = int(read.min()) >= 0 and int(read.max()) < splits.vocabulary.size
        assert in_range, f"a token of {part} is not in the vocabulary"
    rows = torch.tensor([len(read) - 1, 0])
    assert torch.equal(samples[rows], read[rows]), f"rows of {part} depend on how they are read"
    assert torch.equal(samples[:], read), f"reading {part} twice gives different samples"
    layout = torch.contiguous_format
    moved = samples.to(torch.device("cpu"), memory_format=layout)
    assert torch.equal(moved, read), f"`to` changes the samples of {part}"


def check_disjoint(splits: Splits) -> None:
    """Check that no sample is in two parts."""
    held = {part: rows_of(getattr(splits, part)[0][:]) for part in PARTS}
    for one, other in (("train", "val"), ("train", "test"), ("val", "test")):
        both = len(held[one] & held[other])
        assert not both, f"{both} of the samples of {one} are also in {other}"


def rows_of(samples: Tensor) -> set[bytes]:
    """The bytes of each sample."""
    return {row.numpy().tobytes() for row in samples}


def check_fingerprint(splits: Splits) -> None:
    """Check that the fingerprint depends on samples, labels, and the parts that contain them."""
    samples, labels = splits.val
    changed = labels.clone()
    changed.view(-1)[0] = (changed.view(-1)[0] + 1) % max(2, splits.classes)
    others: dict[str, Any] = {"label": {"val": (samples, changed)}}
    if isinstance(samples, Tensor):
        nudged = samples.clone()
        nudged.view(-1)[0] += 1
        others["sample"] = {"val": (nudged, labels)}
    else:
        own = getattr(samples, "fingerprint", "")
        assert own, "samples that are read on demand need an attribute `fingerprint`, a string"
    if not torch.equal(samples[:], splits.test[0][:]):
        others["order of the parts"] = {"val": splits.test, "test": splits.val}
    for what, change in others.items():
        differs = replace(splits, **change).fingerprint != splits.fingerprint
        assert differs, f"the fingerprint does not depend on the {what}"


def check_minibatch(splits: Splits) -> None:
    """Check that a minibatch can be drawn, and that the seed determines it."""
    size = min(8, len(splits.train[1]))
    samples, labels = minibatch(splits.train, size, seed=0)
    shape = (size, *splits.sample_shape)
    assert tuple(samples.shape) == shape, (
        f"a minibatch has shape {tuple(samples.shape)}; expected {shape}"
    )
    again = minibatch(splits.train, size, seed=0)
    same = torch.equal(samples, again[0]) and torch.equal(labels, again[1])
    assert same, "drawing the same minibatch twice gives different samples"
