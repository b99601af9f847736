"""Laws of every registered data set, and of the minibatch networks are scored on."""

import math
import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from foretell.data import DATA, Split, Splits, load_data, minibatch
from foretell.data.digits import digits
from foretell.errors import ForetellError

EMBEDDED = [name for name, entry in DATA.items() if entry.embedded]


@pytest.fixture(scope="module", params=EMBEDDED)
def splits(request: pytest.FixtureRequest) -> Splits:
    return load_data(request.param)


def rows(images: Tensor) -> list[bytes]:
    return [image.numpy().tobytes() for image in images]


def test_parts_are_normalised_images_with_labels_in_range(splits: Splits) -> None:
    for part, labels in (splits.train, splits.val, splits.test):
        images = part[:]
        assert images.dtype == torch.float32
        assert images.shape == (len(labels), *splits.sample_shape)
        assert images.isfinite().all()
        assert labels.dtype == torch.int64
        assert set(labels.tolist()) == set(range(splits.classes))
    pixels = splits.train[0][:].double()
    channels = [place for place in range(pixels.ndim) if place != 1]
    assert pixels.mean(dim=channels).abs().max() < 1e-4
    assert (pixels.square().mean(dim=channels) - 1).abs().max() < 1e-4


def test_no_image_is_in_two_parts(splits: Splits) -> None:
    train, val, test = (set(rows(part[0][:])) for part in (splits.train, splits.val, splits.test))
    assert not train & val
    assert not train & test
    assert not val & test


def test_loading_again_gives_the_same_and_moves_no_global_generator(splits: Splits) -> None:
    before = torch.get_rng_state(), random.getstate(), repr(np.random.get_state())
    again = load_data(splits.name)
    assert again.fingerprint == splits.fingerprint
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert repr(np.random.get_state()) == before[2]


def test_the_fingerprint_notices_a_pixel_a_label_and_a_swap(splits: Splits) -> None:
    images, labels = splits.val
    brighter, wrong = images[:].clone(), labels.clone()
    brighter[3].view(-1)[4] += 1e-3
    wrong[0] = (wrong[0] + 1) % splits.classes
    others = [
        Splits(splits.name, splits.classes, splits.train, (brighter, labels), splits.test),
        Splits(splits.name, splits.classes, splits.train, (images, wrong), splits.test),
        Splits(splits.name, splits.classes, splits.train, splits.test, splits.val),
    ]
    found = {splits.fingerprint, *(other.fingerprint for other in others)}
    assert len(found) == 4
    assert all(len(fingerprint) == 16 for fingerprint in found)


@pytest.mark.parametrize("name", DATA)
def test_every_data_set_says_what_it_is(name: str) -> None:
    assert DATA[name].summary.endswith(".")
    assert DATA[name].source
    assert name not in EMBEDDED or load_data(name).name == name


def test_an_unknown_data_set_is_named() -> None:
    with pytest.raises(ForetellError, match="no data set is called 'digit'; did you mean 'digits'"):
        load_data("digit")


def test_digits_are_the_split_they_were() -> None:
    splits = digits()
    assert [len(part[1]) for part in (splits.train, splits.val, splits.test)] == [1097, 350, 350]
    assert splits.val[1].bincount().tolist() == splits.test[1].bincount().tolist() == [35] * 10
    assert splits.fingerprint == "ca3734f966c0fccc"


@pytest.mark.parametrize("size", [1, 7, 64, 100])
def test_a_minibatch_is_balanced_without_repeats_and_belongs_together(size: int) -> None:
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
def test_a_minibatch_of_few_fills_in_from_other_classes(
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
    assert first == set(range(10))  # which classes get one more is drawn, too


@pytest.mark.parametrize("size", [0, -1, 1098, math.inf])
def test_a_minibatch_that_cannot_be_is_refused(size: int) -> None:
    with pytest.raises(ForetellError, match=f"size of the minibatch is {size}; expected 1 to 1097"):
        minibatch(digits().train, size, seed=0)
