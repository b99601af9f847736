"""A fixture of all tests, those in docstrings and in the documentation included."""

import pytest
import torch


@pytest.fixture(autouse=True)
def same_draws() -> None:
    """Each test draws the same numbers from PyTorch's generator, whatever ran before it."""
    torch.manual_seed(0)
