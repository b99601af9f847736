"""What counts as a normalisation that is written out."""

import pytest
import torch
from torch import Generator, Tensor

from foretell.engine.observers.written_norms import is_normal

X = torch.randn(6, 40, generator=Generator().manual_seed(0))
SHIFTED = X + 1
"""Entries whose mean is not zero."""


def root(x: Tensor) -> Tensor:
    """The root of the mean square of each row."""
    return x.square().mean(1, keepdim=True).sqrt()


@pytest.mark.parametrize(
    ("divided", "by", "normal"),
    [
        (SHIFTED - SHIFTED.mean(1, keepdim=True), SHIFTED.std(1, keepdim=True), True),
        (SHIFTED, root(SHIFTED), True),
        (SHIFTED, SHIFTED.std(1, keepdim=True), False),  # the mean remains
        (X, X.norm(dim=1, keepdim=True), False),  # vectors of length 1
        (X[:, :2] - X[:, :2].mean(1, keepdim=True), X[:, :2].std(1, keepdim=True), True),
        (X, 3 * root(X), False),
    ],
)
def test_only_entries_with_a_mean_square_of_one_are_normal(
    divided: Tensor, by: Tensor, normal: bool
) -> None:
    """An unbiased deviation of two entries gives one half."""
    assert is_normal(divided / by, by) is normal
