"""Parses the names of devices."""

import re

import torch

from foretell.checks import wrong
from foretell.errors import ForetellError

__all__ = ["device_for", "pick_device"]

KNOWN = r"cpu(:0)?|cuda(:\d+)?"


def pick_device(text: str) -> torch.device:
    """The device with this name; `auto` is the GPU, or the CPU if there is none.

    Raises ForetellError if this machine does not have the device, or foretell does not support it.

    >>> pick_device("cpu")
    device(type='cpu')
    >>> pick_device("meta")
    Traceback (most recent call last):
    foretell.errors.ForetellError: there is no device 'meta' here (foretell computes on cpu and
    cuda); use cpu
    """
    if text == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        if not re.fullmatch(KNOWN, text):
            raise RuntimeError("foretell computes on cpu and cuda")
        device = torch.device(text)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise ForetellError(f"there is no device {text!r} here ({reason}); use cpu") from error
    return device


def device_for(device: object, executor: object = None) -> str:
    """The name of the device that a run computes on.

    Raises ForetellError for a device that is not here; where an executor computes, whose machines
    may have others, for one that no machine has.
    """
    if not isinstance(device, str | torch.device):
        raise wrong("device", device, "the name of a device, cpu or cuda")
    text = str(device)
    if executor is None:
        return str(pick_device(text))
    if not re.fullmatch(KNOWN, text):
        raise ForetellError(f"device is {text!r}; give cpu or cuda, which the workers then have")
    return text
