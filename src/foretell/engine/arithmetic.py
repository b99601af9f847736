"""How a GPU calculates: float32 as it is, TF32 only where asked, and the same bits every time."""

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import torch

__all__ = ["arithmetic", "exactly"]


@contextmanager
def arithmetic(device: torch.device, *, tf32: bool = False) -> Iterator[None]:
    """Within the block a GPU calculates as said above; nothing changes for another device.

    TF32 keeps 10 bits of each factor's 23. By default torch lets convolutions use it.
    """
    if device.type != "cuda":
        yield
        return
    with exactly(tf32=tf32):
        yield


@contextmanager
def exactly(*, tf32: bool = False) -> Iterator[None]:
    """The same for the GPUs of this process, whether there are any or not.

    Operations for which torch has no deterministic algorithm make it warn.
    """
    with ExitStack() as back:
        back.callback(restore, *switches())
        allow(tf32)
        for owner, name, value in STEADY:
            back.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, value)
        if not torch.are_deterministic_algorithms_enabled():
            back.callback(torch.use_deterministic_algorithms, False)
            torch.use_deterministic_algorithms(True, warn_only=True)
        back.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", OF_SEVERAL_STREAMS)
        yield


OF_SEVERAL_STREAMS = "(?s)Deterministic behavior was enabled.*CuBLAS"
"""torch warns of every matrix product; cuBLAS's depend on chance where several streams share its
workspace, and here is one."""
STEADY = (
    (torch.backends.cudnn, "benchmark", False),
    (torch.backends.cudnn, "deterministic", True),
    (torch.utils.deterministic, "fill_uninitialized_memory", False),
)


def newer() -> list[Any]:
    """What has an `fp32_precision`, as torch 2.9 and later have it; it overrules the older flags.

    Both are set, so that a model may read either: torch raises where they differ.
    """
    backends: Any = torch.backends
    has = hasattr(backends.cudnn, "conv")
    return [backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn] if has else []


def switches() -> tuple[str | None, bool | None, list[str]]:
    """The older flags, None where the newer ones contradict them, and the newer ones."""
    multiply = convolve = None
    with suppress(RuntimeError):
        multiply = torch.get_float32_matmul_precision()
    with suppress(RuntimeError):
        convolve = torch.backends.cudnn.allow_tf32
    return multiply, convolve, [owner.fp32_precision for owner in newer()]


def allow(tf32: bool) -> None:
    """Let float32 be multiplied as TF32, or not."""
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32
    for owner in newer():
        if (owner.fp32_precision == "tf32") != tf32:
            owner.fp32_precision = "tf32" if tf32 else "ieee"


def restore(multiply: str | None, convolve: bool | None, precisions: list[str]) -> None:
    """What `switches` gave."""
    if multiply is not None:
        torch.set_float32_matmul_precision(multiply)
    if convolve is not None:
        torch.backends.cudnn.allow_tf32 = convolve
    for owner, precision in zip(newer(), precisions, strict=True):
        if owner.fp32_precision != precision:
            owner.fp32_precision = precision
