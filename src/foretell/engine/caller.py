"""Isolate scores from settings of the process, whether callers or models make them."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch

from foretell.user_code import without_exit

__all__ = ["default_device", "kept_settings", "own_settings"]

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


@contextmanager
def kept_settings() -> Iterator[None]:
    """Run a user's code within the block; afterwards, restore the settings of the process.

    The code of a model may change the default type or device, gradients, threads, the working
    folder and more, when it is imported, when it builds the model, or in the forward pass. None of
    this may affect other models. `os._exit` raises SystemExit.

    >>> with kept_settings():
    ...     torch.set_default_dtype(torch.float64)
    >>> torch.get_default_dtype()
    torch.float32
    """
    before = [setting.get() for setting in SETTINGS]
    try:
        with without_exit():
            yield
    finally:
        for setting, value in zip(SETTINGS, before, strict=True):
            if setting.get() != value:
                setting.put(value)


class Setting(NamedTuple):
    """How to read a setting of the process, and how to set it."""

    get: Callable[[], Any]
    put: Callable[[Any], object]


def chosen_device() -> torch.device | None:
    """The default device; None for the CPU, which it is if it has not been set."""
    device = torch.get_default_device()
    return None if device.type == "cpu" else device


def deterministic() -> tuple[bool, bool]:
    """Whether algorithms must be deterministic, and whether others only cause a warning."""
    only_warn = torch.is_deterministic_algorithms_warn_only_enabled()
    return torch.are_deterministic_algorithms_enabled(), only_warn


def anomalies() -> tuple[bool, bool]:
    """Whether autograd traces errors to the forward pass, and whether it looks for nan."""
    return torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()


def folder() -> str:
    """The working folder; empty if it has been deleted."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return ""


def set_environment(variables: dict[str, str]) -> None:
    """Set the environment variables, and delete all others."""
    for name in set(os.environ) - set(variables):
        del os.environ[name]
    os.environ.update(variables)


SETTINGS = (
    Setting(torch.get_default_dtype, torch.set_default_dtype),
    Setting(chosen_device, torch.set_default_device),
    Setting(torch.is_grad_enabled, torch.set_grad_enabled),
    Setting(torch.get_num_threads, torch.set_num_threads),
    Setting(deterministic, lambda it: torch.use_deterministic_algorithms(it[0], warn_only=it[1])),
    Setting(anomalies, lambda it: torch.autograd.set_detect_anomaly(*it)),
    Setting(torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    Setting(np.geterr, lambda it: np.seterr(**it)),
    Setting(folder, lambda it: os.chdir(it) if it else None),
    Setting(lambda: dict(os.environ), set_environment),
)
