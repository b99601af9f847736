"""Images that are read when they are accessed: how their channels are scaled."""

import math

import pytest
import torch

from foretell.data.lazy import LazyImages, moments


def images(*channels: list[int]) -> LazyImages:
    """Images of one pixel with the given values in each channel."""
    pixels = torch.tensor(channels, dtype=torch.uint8).T[:, :, None, None]
    rows = torch.arange(len(pixels))
    return LazyImages(lambda some: pixels[some], rows, (len(channels), 1, 1), lambda: "")


def test_a_channel_is_divided_by_its_deviation_unless_it_is_constant() -> None:
    count = 2_000_000
    nearly = [7] * (count - 1) + [9], [7] * (count - 1) + [8]  # variances 2e-6 and 5e-7
    mean, std = moments(images(*nearly, [200] * count))
    assert mean == pytest.approx((7 + 2 / count, 7 + 1 / count, 200.0), abs=1e-12)
    assert std == (pytest.approx(math.sqrt(4 / count), rel=1e-3), 1.0, 1.0)


def test_mean_and_deviation_are_those_of_all_pixels() -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.randint(256, (2, 2_500), generator=generator)
    mean, std = moments(images(*values.tolist()))
    assert mean == pytest.approx(values.double().mean(1).tolist())
    assert std == pytest.approx(values.double().std(1, correction=0).tolist())
