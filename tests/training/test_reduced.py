"""The reduced trainings are those that arXiv:2101.08134 reports, and train what they say."""

from dataclasses import astuple, replace

import pytest

from foretell.data import load_data
from foretell.spaces import NASBench201
from foretell.training.reduced import REDUCED, reduced_space, reduced_splits


@pytest.mark.parametrize(
    ("name", "resolution", "channels", "share", "epochs"),
    [("econas", 8, 4, 1.0, 20), ("econas+", 16, 8, 1.0, 15)],
)
def test_the_reductions_are_the_published_ones(
    name: str, resolution: int, channels: int, share: float, epochs: int
) -> None:
    reduced = REDUCED[name]
    assert astuple(reduced)[:3] == (resolution, channels, share)
    training = reduced.training
    assert (training.epochs, training.stop_after) == (40, epochs)
    assert (training.lr, training.augmentation) == (0.1, "shift")


def test_a_reduced_space_builds_smaller_networks_for_smaller_images() -> None:
    space = reduced_space(NASBench201(), REDUCED["econas"])
    settings = space.settings()
    assert (settings["channels"], settings["resolution"]) == (4, 8)
    model = space.build((3, 3, 3, 3, 3, 3), seed=0)
    assert next(model.parameters()).shape[0] == 4


def test_reduced_data_have_fewer_pixels_and_samples() -> None:
    splits = load_data("digits")
    half = replace(REDUCED["econas"], resolution=4, samples=0.5)
    reduced = reduced_splits(splits, half)
    count = round(len(splits.train[1]) / 2)
    assert reduced.train[0].shape == (count, 1, 4, 4)
    assert reduced.train[1].equal(splits.train[1][:count])
    assert len(reduced.val[1]) == len(splits.val[1])
