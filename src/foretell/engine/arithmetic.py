"""Set the arithmetic of a GPU: full float32, TF32 only on request, deterministic algorithms."""

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import torch

__all__ = ["arithmetic", "exactly"]


@contextmanager
def arithmetic(device: torch.device, *, tf32: bool = False) -> Iterator[None]:
    """Within the block, a GPU computes deterministically, in full float32 or in TF32.

    Nothing changes for other devices. TF32 keeps 10 of the 23 mantissa bits of each factor; by
    default, torch lets convolutions use it.
    """
    if device.type != "cuda":
        yield
        return
    with exactly(tf32=tf32):
        yield


@contextmanager
def exactly(*, tf32: bool = False) -> Iterator[None]:
    """Apply these settings to the GPUs of this process, even if it has none.

    torch warns about operations for which it has no deterministic algorithm.
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
"""torch's warning about every matrix product: cuBLAS is not deterministic if several streams share
its workspace, but here, there is only one stream."""
STEADY = (
    (torch.backends.cudnn, "benchmark", False),
    (torch.backends.cudnn, "deterministic", True),
    (torch.utils.deterministic, "fill_uninitialized_memory", False),
)


def newer() -> list[Any]:
    """The objects with `fp32_precision`, which replaces older flags from torch 2.9 on.

    The old and the new flags are both set, so that a model can read either one: torch raises an
    error if they differ.
    """
    backends: Any = torch.backends
    has = hasattr(backends.cudnn, "conv")
    return [backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn] if has else []


def switches() -> tuple[str | None, bool | None, list[str]]:
    """The older flags, None if the newer ones contradict them, and the newer ones."""
    multiply = convolve = None
    with suppress(RuntimeError):
        multiply = torch.get_float32_matmul_precision()
    with suppress(RuntimeError):
        convolve = torch.backends.cudnn.allow_tf32
    return multiply, convolve, [owner.fp32_precision for owner in newer()]


def allow(tf32: bool) -> None:
    """Allow or forbid TF32 for products of float32."""
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32
    for owner in newer():
        if (owner.fp32_precision == "tf32") != tf32:
            owner.fp32_precision = "tf32" if tf32 else "ieee"


def restore(multiply: str | None, convolve: bool | None, precisions: list[str]) -> None:
    """Restore the result of `switches`."""
    if multiply is not None:
        torch.set_float32_matmul_precision(multiply)
    if convolve is not None:
        torch.backends.cudnn.allow_tf32 = convolve
    for owner, precision in zip(newer(), precisions, strict=True):
        if owner.fp32_precision != precision:
            owner.fp32_precision = precision
