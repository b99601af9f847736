"""The global random number generators, which nothing may move."""

import random

import numpy as np
import torch

__all__ = ["generator_states"]


def generator_states() -> tuple[object, ...]:
    """What changes as soon as anybody draws from a global generator of Python, NumPy or PyTorch.

    >>> before = generator_states()
    >>> generator_states() == before
    True
    """
    name, *state = np.random.get_state()
    return random.getstate(), repr((name, state)), torch.get_rng_state().numpy().tobytes()
