"""Memory: how much a batch needs, and what to do where it does not suffice."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from foretell.engine.failures import ModelFailed, is_out_of_memory
from foretell.engine.microbatch import check_exact
from foretell.engine.subject import Subject
from foretell.errors import ForetellError

__all__ = ["saved_bytes", "what_would_fit"]


def what_would_fit(subject: Subject, attempt: Callable[[int], object]) -> str:
    """The message for a batch that did not fit: the largest power-of-two part of it that does.

    Parts are tried from half the size downward. Nothing is scored in parts without being asked to.
    """
    tried = subject.micro_batch or len(subject.batch)
    size = tried // 2
    while size and not fits(attempt, size):
        size //= 2
    start = f"out of memory at {tried} samples at a time"
    if not size:
        return f"{start}, and one sample does not fit either; use a larger device"
    try:
        check_exact(subject)
    except ForetellError as error:
        why = str(error).partition(": ")[2].partition(";")[0]
        return f"{start}; a batch of {size} fits, but parts would not add up to the whole ({why})"
    return f"{start}; micro_batch={size} fits and gives the same scores"


def fits(attempt: Callable[[int], object], size: int) -> bool:
    """Whether so many samples can be run."""
    try:
        attempt(size)
    except ModelFailed:
        return False
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return False
    return True


def saved_bytes(run: Callable[[], object], own: Iterable[Tensor]) -> int:
    """The memory that autograd keeps for the backward pass of what is run, besides the model's own.

    Works on the meta device, too, where nothing is computed.
    """
    known = {tensor.untyped_storage()._cdata for tensor in own}
    seen: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in known:
            seen[storage._cdata] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = run()  # alive while the storages are counted, or their identity could recur
    del result
    return sum(seen.values())
