"""Compare the states of the global random number generators, which foretell must not change."""

import random

import numpy as np
import torch

__all__ = ["generator_states"]


def generator_states() -> tuple[object, ...]:
    """The states of the global generators of Python, NumPy and PyTorch; any draw changes them.

    >>> before = generator_states()
    >>> generator_states() == before
    True
    """
    name, *state = np.random.get_state()
    return random.getstate(), repr((name, state)), torch.get_rng_state().numpy().tobytes()
