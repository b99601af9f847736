"""A sample of networks, and its cache of results by array."""

from math import nan

import numpy as np

from foretell.statistics.sample import KEPT, Sample
from foretell.studies import spearman
from tests.support.draws import same


def test_a_sample_knows_one_array_from_another() -> None:
    """A temporary array may have the id of one that was freed."""
    sample = Sample.once(5)
    for shift in range(20):
        scores = [float((3 * i + shift) % 5) for i in range(5)]
        truth = [nan if i == shift % 5 else float(i) for i in range(5)]
        assert sample.with_truth(np.array(truth)).counts[shift % 5] == 0
        assert same(spearman(scores, truth, sample=sample), spearman(scores, truth))


def test_a_sample_forgets_the_results_of_arrays_that_were_used_long_ago() -> None:
    sample = Sample.once(5)
    for _ in range(3 * KEPT):
        sample.ranked(np.arange(5.0))
    assert len(sample.known) == KEPT
