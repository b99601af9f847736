"""`check_data` accepts valid data, and names each requirement that is not met."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from foretell.data import Splits, Vocabulary
from foretell.testing import check_data


def mine(shift: int = 0, **changes: Any) -> Splits:
    """Thirty samples of three numbers in two classes."""
    samples = torch.arange(90.0).reshape(30, 3) + shift
    labels = torch.arange(30).remainder(2)
    parts = [(samples[rows], labels[rows]) for rows in (slice(20), slice(20, 25), slice(25, 30))]
    return replace(Splits("mine", 2, *parts), **changes)


def text(largest: int = 3) -> Splits:
    """Fifteen texts of four tokens."""
    ids = torch.arange(60).reshape(15, 4)
    ids, vocabulary = ids.remainder(largest + 1), Vocabulary(4, 0, 0, 0)
    parts = [(ids[rows], ids[rows]) for rows in (slice(9), slice(9, 12), slice(12, 15))]
    return Splits("text", 4, *parts, vocabulary=vocabulary)


def test_data_that_keep_the_laws_pass() -> None:
    check_data(mine)
    check_data(mine())
    check_data(text(), disjoint=False)


def val(samples: Callable[[Tensor], Any] = lambda x: x, labels: Any = lambda y: y) -> Splits:
    """The valid data with different validation samples or labels."""
    splits = mine()
    return replace(splits, val=(samples(splits.val[0][:]), labels(splits.val[1])))


class Read:
    """Samples that are read on demand."""

    fingerprint = "a text"

    def __init__(self, samples: Tensor) -> None:
        self.samples, self.shape, self.reads = samples, samples.shape, 0

    def __getitem__(self, rows: Any) -> Tensor:
        return self.samples[rows]

    def to(self, device: torch.device, *, memory_format: torch.memory_format) -> Tensor:
        return self.samples.to(device)


def test_samples_that_are_read_when_asked_for_pass() -> None:
    check_data(val(Read))


class Nameless(Read):
    fingerprint = ""


class Sorted(Read):
    """Rows in ascending order, whatever order is requested."""

    def __getitem__(self, rows: Any) -> Tensor:
        return self.samples[rows.sort().values if isinstance(rows, Tensor) else rows]


class Noisy(Read):
    def __getitem__(self, rows: Any) -> Tensor:
        self.reads += isinstance(rows, slice)
        return self.samples[rows] + (self.reads > 1)


class Elsewhere(Read):
    def to(self, device: torch.device, *, memory_format: torch.memory_format) -> Tensor:
        return self.samples + 1


class Short(Read):
    def __init__(self, samples: Tensor) -> None:
        super().__init__(samples)
        self.samples = samples[:-1]


class Drawing(Read):
    def __getitem__(self, rows: Any) -> Tensor:
        torch.rand(())
        return self.samples[rows]


class Fixed(Splits):
    """Splits whose fingerprint is always the same."""

    fingerprint = "0123456789abcdef"  # type: ignore[assignment]


def fixed(what: str) -> Splits:
    """Splits whose fingerprint depends on everything but one thing."""

    class Partly(Splits):
        @property
        def fingerprint(self) -> str:  # type: ignore[override]
            samples, labels = self.val[0][:], self.val[1]
            places = [self.val[0][:].sum(), self.val[1].sum()]
            return {
                "label": f"{samples.tolist()}",
                "sample": f"{labels.tolist()}",
                "order of the parts": f"{sum(places) + self.test[0][:].sum() + self.test[1].sum()}",
            }[what]

    splits = mine()
    return Partly(splits.name, splits.classes, splits.train, splits.val, splits.test)


BROKEN: dict[str, tuple[Any, str]] = {
    "no splits": (lambda: [1, 2], r"the data are \[1, 2\], not Splits"),
    "nothing": (val(lambda x: x[:0], lambda y: y[:0]), "val has no samples"),
    "another shape": (val(lambda x: x[:, 1:]), r"val has shape \(2,\); expected .*\(3,\)"),
    "labels of another type": (val(labels=lambda y: y.int()), "labels of val are torch.int32"),
    "doubles": (val(lambda x: x.double()), "samples of val are torch.float64, not torch.float32"),
    "nan": (val(lambda x: x / 0 * 0), "a sample of val is not finite"),
    "fewer than said": (val(Short), "reading val gives shape"),
    "rows in another order": (val(Sorted), "rows of val depend on how they are read"),
    "other samples each time": (val(Noisy), "reading val twice gives different samples"),
    "others in memory": (val(Elsewhere), "`to` changes the samples of val"),
    "the same twice": (val(lambda _: mine().train[0][:5]), "5 of the samples of train are also in"),
    "without a fingerprint": (val(Nameless), "need an attribute `fingerprint`"),
    "drawing": (val(Drawing), "reading changed a global random number generator"),
    "label": (fixed("label"), "the fingerprint does not depend on the label"),
    "sample": (fixed("sample"), "the fingerprint does not depend on the sample"),
    "parts": (fixed("order of the parts"), "does not depend on the order of the parts"),
    "token": (replace(text(), vocabulary=Vocabulary(3, 0, 0, 0)), "not in the vocabulary"),
    "token numbers in floats": (
        replace(mine(), vocabulary=Vocabulary(99, 0, 0, 0)),
        "samples of train are torch.float32, not torch.int64",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_law_is_named(name: str) -> None:
    data, said = BROKEN[name]
    state = torch.get_rng_state()
    with pytest.raises(AssertionError, match=said):
        check_data(data)
    torch.set_rng_state(state)


def test_loading_that_draws_or_changes_is_named() -> None:
    state = random.getstate()
    with pytest.raises(AssertionError, match="loading changed a global random number generator"):
        check_data(lambda: mine(int(random.random())))
    random.setstate(state)
    shifts = iter(range(10))
    with pytest.raises(AssertionError, match="loading twice gives data of different fingerprints"):
        check_data(lambda: mine(next(shifts)))


def test_another_minibatch_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from foretell.testing import data

    monkeypatch.setattr(data, "minibatch", lambda part, size, seed: (part[0][:1], part[1][:1]))
    with pytest.raises(AssertionError, match="a minibatch has shape"):
        check_data(mine())
    draws = iter(range(10))

    def restless(part: Any, size: int, seed: int) -> Any:
        return part[0][:size] + next(draws), part[1][:size]

    monkeypatch.setattr(data, "minibatch", restless)
    with pytest.raises(AssertionError, match="drawing the same minibatch twice"):
        check_data(mine())
