"""Measure the memory that a batch requires, and report if it does not suffice."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor

from foretell.engine.failures import Inexact, ModelFailed, is_out_of_memory
from foretell.engine.subject import Subject
from foretell.errors import OutOfMemory, Undefined

__all__ = ["saved_bytes", "smaller", "within_memory"]

T = TypeVar("T")


def within_memory(compute: Callable[[], T], too_large: Callable[[], OutOfMemory]) -> T:
    """The result of `compute`. Raises the error from `too_large` if memory does not suffice.

    That error is created and raised outside the handler, whose traceback would keep the tensors of
    the failed attempt alive, even if the caller tries again.
    """
    try:
        return compute()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    raise too_large()


def smaller(subject: Subject, run: Callable[[Subject], object]) -> OutOfMemory:
    """The error for a batch that does not fit into memory, with a micro-batch that does.

    Sizes are tried from half the batch downwards. A size is recommended as a micro-batch only if
    two parts of that size were run and add up to the whole. Scores are never computed in parts
    unless this is requested.
    """
    tried = min(subject.micro_batch or len(subject.batch), len(subject.batch))
    start = f"out of memory at {tried} samples at a time"
    size = tried // 2
    while size:
        if fits(run, replace(subject, batch=subject.batch[:size], micro_batch=None)):
            two = replace(subject, batch=subject.batch[: 2 * size], micro_batch=size)
            try:
                if fits(run, two):
                    said = f"{start}; micro_batch={size} fits and gives the same scores"
                    return OutOfMemory(said, size)
            except Inexact as error:
                return OutOfMemory(
                    f"{start}; a batch of {size} fits, but parts would not add up to the whole "
                    f"({error.why}); give a smaller batch or use a larger device"
                )
        size //= 2
    return OutOfMemory(f"{start}, and no smaller part of the batch can be run; use a larger device")


def fits(run: Callable[[Subject], object], subject: Subject) -> bool:
    """Whether this part of the batch can be run. Raises Inexact if parts are not permitted."""
    try:
        run(subject)
    except (ModelFailed, Undefined):
        return False
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return False
    return True


def saved_bytes(run: Callable[[], object], own: Iterable[Tensor]) -> int:
    """The bytes that autograd saves for the backward pass during `run`, except those of `own`.

    It also works on the meta device, where nothing is computed.
    """
    known = {tensor.untyped_storage()._cdata for tensor in own}
    seen: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in known:
            seen[storage._cdata] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = run()  # kept alive while storages are counted, since ids could be reused
    del result
    return sum(seen.values())
