"""Draw random numbers that depend only on a seed, and leave all global generators unchanged."""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

__all__ = ["derived_seed", "own_randomness"]


@contextmanager
def own_randomness(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch, NumPy and `random` within the block; their states are restored afterwards."""
    python, numpy = random.getstate(), np.random.get_state()
    devices = [device] if device.type not in ("cpu", "meta") else []
    kind = device.type if devices else "cuda"
    try:
        with torch.random.fork_rng(devices, device_type=kind):
            torch.default_generator.manual_seed(seed)
            if devices:
                torch.get_device_module(device).manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed % 2**32)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def derived_seed(seed: int, *parts: object) -> int:
    """A seed that is determined by `seed` and the parts, such as a pass and a micro-batch.

    >>> derived_seed(0, "loss", 1) == derived_seed(0, "loss", 1) != derived_seed(0, "loss", 2)
    True
    """
    digest = hashlib.sha256(repr((seed, *parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
