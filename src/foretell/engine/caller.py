"""Isolate scores from settings that callers make for their own computations."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

__all__ = ["default_device", "own_settings"]

AUTOCAST = ("cpu", "cuda", "mps", "xpu")
"""The types of devices for which a caller may have enabled autocast."""


@contextmanager
def own_settings() -> Iterator[None]:
    """Within the block, disable the caller's autocast and inference mode.

    >>> with torch.inference_mode(), torch.autocast("cpu"), own_settings():
    ...     torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu")
    (False, False)
    """
    with torch.inference_mode(False), ExitStack() as off:
        for kind in filter(torch.is_autocast_enabled, AUTOCAST):
            off.enter_context(torch.autocast(kind, enabled=False))
        yield


@contextmanager
def default_device(device: torch.device) -> Iterator[None]:
    """Within the block, replace a default device that the caller has set by this device."""
    if torch.get_default_device().type == "cpu":
        yield
        return
    with device:
        yield
