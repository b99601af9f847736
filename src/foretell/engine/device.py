"""Parse the names of devices."""

import re

import torch

from foretell.checks import wrong
from foretell.errors import ForetellError

__all__ = ["device_for", "pick_device"]

KNOWN = r"cpu(:0)?|cuda(:\d+)?"


def pick_device(text: str) -> torch.device:
    """The device with this name; `auto` is the GPU if there is one, and otherwise the CPU.

    Raises ForetellError if this machine does not have the device or foretell does not support it.

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

    Raises ForetellError for a device that this machine does not have, or, if an executor computes
    on other machines, that no machine can have.
    """
    if not isinstance(device, str | torch.device):
        raise wrong("device", device, "the name of a device, cpu or cuda")
    text = str(device)
    if executor is None:
        return str(pick_device(text))
    if not re.fullmatch(KNOWN, text):
        raise ForetellError(f"device is {text!r}; give cpu or cuda, which the workers then have")
    return text
