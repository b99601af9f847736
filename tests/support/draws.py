"""Random numbers for tests of statistics."""

from typing import Any

import numpy as np


def copula(generator: np.random.Generator, n: int, r: float) -> tuple[Any, Any]:
    """Scores and truth of n networks, jointly Gaussian."""
    truth = generator.normal(size=n)
    return r * truth + np.sqrt(1 - r * r) * generator.normal(size=n), truth


def same(value: Any, expected: Any) -> bool:
    """Whether two values are equal up to rounding; nan equals nan."""
    return bool(np.allclose(value, expected, rtol=1e-9, atol=1e-9, equal_nan=True))
