"""Laws that hold for every registered data set, and for the minibatch of the scores."""

import math
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from foretell.data import DATA, Split, Splits, load_data, minibatch
from foretell.data.digits import digits
from foretell.errors import ForetellError, UnknownName
from foretell.testing import check_data
from tests.support.paths import ROOT

EMBEDDED = [name for name, entry in DATA.items() if entry.embedded]


@pytest.fixture(scope="module", params=EMBEDDED)
def splits(request: pytest.FixtureRequest) -> Splits:
    return load_data(request.param)


def rows(images: Tensor) -> list[bytes]:
    return [image.numpy().tobytes() for image in images]


@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded_data_keep_the_laws(name: str) -> None:
    check_data(lambda: load_data(name))


def test_data_from_files_and_random_data_keep_the_laws(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(256, size=(60, 5, 5, 3), dtype=np.uint8)
    labels = np.arange(60) % 3
    np.savez(tmp_path / "mine.npz", images=pixels, labels=labels)
    values = pd.DataFrame(pixels.reshape(60, -1)[:, :4], columns=list("abcd"))
    values.assign(kind=labels).to_csv(tmp_path / "mine.csv", index=False)
    check_data(partial(load_data, "random:3x8x8x4?images=60"))
    check_data(partial(load_data, f"npz:{tmp_path}/mine.npz"))
    check_data(partial(load_data, f"csv:{tmp_path}/mine.csv?target=kind"))
    check_data(partial(load_data, f"text:{ROOT}/README.md?length=16"), disjoint=False)


def test_parts_are_normalised_and_contain_every_class(splits: Splits) -> None:
    for _, labels in (splits.train, splits.val, splits.test):
        assert splits.kind == "tokens" or set(labels.tolist()) == set(range(splits.classes))
    if splits.kind == "tokens":
        return  # a text has no scale, and not all of its tokens occur in every part
    pixels = splits.train[0][:].double()
    channels = [place for place in range(pixels.ndim) if place != 1]
    assert pixels.mean(dim=channels).abs().max() < 1e-4
    assert (pixels.square().mean(dim=channels) - 1).abs().max() < 1e-4


@pytest.mark.parametrize("name", DATA)
def test_every_data_set_has_a_summary_and_a_source(name: str) -> None:
    assert DATA[name].summary.endswith(".")
    assert DATA[name].source
    assert name not in EMBEDDED or load_data(name).name == name


def test_an_unknown_data_set_is_named() -> None:
    with pytest.raises(ForetellError, match="no data set is called 'digit'; did you mean 'digits'"):
        load_data("digit")


@pytest.mark.parametrize(
    ("file", "form"),
    [
        ("wine.csv", r"csv:.*wine\.csv\?target=COLUMN$"),
        ("arrays.npz", r"write npz:.*arrays\.npz$"),
        ("notes.txt", r"write text:.*notes\.txt$"),
        ("photos", r"write folder:.*photos$"),
        ("weights.pt", "write one of folder:DIR"),
    ],
)
def test_a_path_is_told_how_to_be_written(file: str, form: str, tmp_path: Path) -> None:
    path = tmp_path / file
    path.touch() if path.suffix else path.mkdir()
    with pytest.raises(UnknownName, match=form):
        load_data(str(path))


def test_the_split_of_the_digits_does_not_change() -> None:
    splits = digits()
    assert [len(part[1]) for part in (splits.train, splits.val, splits.test)] == [1097, 350, 350]
    assert splits.val[1].bincount().tolist() == splits.test[1].bincount().tolist() == [35] * 10
    assert splits.fingerprint == "ca3734f966c0fccc"


@pytest.mark.parametrize("size", [1, 7, 64, 100])
def test_a_minibatch_is_balanced_without_repeats_and_keeps_labels_with_images(size: int) -> None:
    images, labels = digits().train
    label_of = dict(zip(rows(images[:]), labels.tolist(), strict=True))
    x, y = minibatch((images, labels), size, seed=0)
    counts = y.bincount(minlength=10)
    assert x.shape == (size, 1, 8, 8)
    assert int(counts.max() - counts.min()) <= 1
    assert len(set(rows(x))) == size
    assert [label_of[row] for row in rows(x)] == y.tolist()


@given(
    labels=st.lists(st.integers(0, 3), min_size=1, max_size=12),
    seed=st.integers(0, 2**32),
    data=st.data(),
)
def test_a_minibatch_is_filled_from_other_classes_if_one_is_small(
    labels: list[int], seed: int, data: st.DataObject
) -> None:
    size = data.draw(st.integers(1, len(labels)))
    split: Split = (torch.arange(len(labels)), torch.tensor(labels))
    chosen, y = minibatch(split, size, seed)
    assert len(set(chosen.tolist())) == size
    assert y.tolist() == [labels[place] for place in chosen.tolist()]
    most = max(y.tolist().count(label) for label in range(4))
    for label in range(4):
        taken, there = y.tolist().count(label), labels.count(label)
        assert taken == there or taken >= most - 1


def test_minibatches_differ_by_seed_and_grow_by_size() -> None:
    train = digits().train
    assert torch.equal(minibatch(train, 64, 3)[0], minibatch(train, 64, 3)[0])
    assert torch.equal(minibatch(train, 16, 3)[0], minibatch(train, 64, 3)[0][:16])
    batches = {minibatch(train, 8, seed)[0].numpy().tobytes() for seed in range(20)}
    assert len(batches) == 20
    first = {int(minibatch(train, 1, seed)[1]) for seed in range(60)}
    assert first == set(range(10))  # the classes with one sample more are random, too


@pytest.mark.parametrize("size", [0, -1, 1098, math.inf])
def test_a_minibatch_of_an_impossible_size_is_refused(size: int) -> None:
    with pytest.raises(ForetellError, match=f"size( of the minibatch)? is {size}; expected"):
        minibatch(digits().train, size, seed=0)


def test_labels_of_classes_that_do_not_exist_are_refused() -> None:
    """So are parts of different lengths, and no samples to train on; other parts may be empty."""
    part, empty = (torch.zeros(3, 5), torch.tensor([0, 1, 1])), (torch.zeros(0, 5), torch.zeros(0))
    splits = Splits("mine", 2, part, empty, empty)
    for changes, said in (
        ({"classes": 1}, "train has the label 1; with 1 classes, labels are from 0 to 0"),
        ({"val": (part[0], part[1] - 1)}, "val has the label -1"),
        ({"test": (part[0], part[1][:2])}, "test has 3 samples and 2 labels"),
        ({"train": empty}, "train has no samples"),
    ):
        with pytest.raises(ForetellError, match=said):
            replace(splits, **changes)
    numbers = part[0], torch.tensor([-1.5, 0.0, 7.0])
    assert replace(splits, train=numbers).train[1] is numbers[1]
    assert minibatch(numbers, 3, 0)[1].sort().values.tolist() == [-1.5, 0.0, 7.0]
