"""A batch from a DataLoader, or from anything that yields batches."""

from collections.abc import Iterable, Mapping
from typing import Any, cast

import torch
from torch import Tensor

from foretell.batch import Batch, Inputs, as_batch, change_all, tensors
from foretell.data.splits import first_of_each
from foretell.errors import ForetellError

__all__ = ["first_batch"]

LOOK_AHEAD = 4
"""A balanced batch is chosen from so many times its size."""
TARGETS = ("labels", "label", "targets", "target")


def first_batch(loader: Iterable[Any], size: int, balanced: bool = True) -> Batch:
    """`size` samples of the first that a DataLoader, or any iterable of batches, yields.

    A batch is a pair (inputs, targets), a `Batch`, or a dict whose "labels" are the targets. Of a
    balanced one every class has as many samples as any other or one more, where the first
    4 x `size` samples allow it; that takes whole numbers for targets. Nothing is drawn at random:
    the loader decides what comes first, so let it shuffle.

    Raises ForetellError where it yields too few samples, or no batches.

    >>> images, labels = torch.arange(8.0)[:, None], torch.tensor([0, 0, 0, 0, 0, 1, 1, 1])
    >>> first_batch(zip(images.split(4), labels.split(4)), size=4).targets.tolist()
    [0, 1, 0, 1]
    """
    if size < 1:
        raise ForetellError(f"size is {size}; ask for at least 1 sample")
    seen: list[Batch] = []
    wanted = size * LOOK_AHEAD if balanced else size
    for item in loader:
        seen.append(one_batch(item))
        if sum(map(len, seen)) >= wanted:
            break
    count = sum(map(len, seen))
    if count < size:
        raise ForetellError(f"a batch of {size} was asked for, but there are only {count} samples")
    whole = joined(seen)
    order = torch.arange(count)
    labels = whole.targets
    if balanced and isinstance(labels, Tensor) and labels.ndim == 1:
        if labels.is_floating_point():
            raise ForetellError("the targets are no classes; pass balanced=False")
        order = first_of_each(labels)
    return whole.each(lambda tensor: tensor[order[:size].to(tensor.device)])


def one_batch(item: Any) -> Batch:
    """What a loader yields, as a Batch."""
    if isinstance(item, Mapping):
        name = next((name for name in TARGETS if name in item), None)
        inputs = {key: value for key, value in item.items() if key != name}
        return as_batch(Batch(inputs, item[name] if name else None))
    return as_batch(item)


def joined(batches: list[Batch]) -> Batch:
    """All samples in one batch. Raises ForetellError where their shapes differ."""
    streams = zip(*(tensors([b.inputs, b.targets]) for b in batches), strict=True)
    try:
        whole = iter([torch.cat(parts) for parts in streams])
    except (RuntimeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise ForetellError(f"the batches can't be joined ({reason}); pad them alike") from error
    first = batches[0]
    return Batch(
        cast(Inputs, change_all(first.inputs, lambda _: next(whole))),
        change_all(first.targets, lambda _: next(whole)),
    )
