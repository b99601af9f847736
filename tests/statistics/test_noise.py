"""The noise ceiling: one training seed against another."""

from math import nan

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from foretell.studies import (
    noise_ceiling,
)


def test_the_noise_ceiling_is_seed_against_seed() -> None:
    """It is the mean over pairs of seeds, each computed on the networks that have both."""
    repeats = pd.DataFrame(
        {"a": [1.0, 2, 3, 4, 5], "b": [2.0, 1, 3, 5, 4], "c": [1.0, 3, 2, 4, nan]}
    )
    pairs = [("a", "b"), ("a", "c"), ("b", "c")]
    both = [repeats[list(pair)].dropna().to_numpy().T for pair in pairs]
    expected = np.mean([stats.spearmanr(*columns)[0] for columns in both])
    found = noise_ceiling(repeats)
    assert found.value == pytest.approx(expected)
    assert np.isnan(found.low)  # five networks are too few for an interval
    more = pd.concat([repeats.dropna()] * 5, ignore_index=True)
    found = noise_ceiling(more + np.arange(len(more))[:, None] / 7)
    assert found.low < found.value < found.high
