"""A batch from a DataLoader, or from any other iterable of batches."""

from collections.abc import Iterable, Iterator, Mapping
from numbers import Number
from typing import Any, cast

import torch
from torch import Tensor

from foretell.batch import Batch, HasArray, Inputs, as_batch, change_all, tensors
from foretell.checks import as_flag, as_integer, wrong
from foretell.data.splits import first_of_each
from foretell.errors import ForetellError, any_error, complaint_of, shown

__all__ = ["first_batch"]

LOOK_AHEAD = 4
"""A balanced batch of n samples is chosen from the first `LOOK_AHEAD * n` samples."""


def first_batch(loader: Iterable[Any], size: int, balanced: bool = True) -> Batch:
    """Take `size` of the first samples that a DataLoader, or any iterable of batches, yields.

    A batch is a pair (inputs, targets), a `Batch`, or a dict whose "labels" are the targets. In a
    balanced batch, class counts differ by at most one if the first 4 x `size` samples allow it; the
    targets must be integers. Nothing is drawn at random: the loader determines which samples come
    first, so let it shuffle.

    Raises ForetellError if the loader yields too few samples, or something other than batches.

    >>> images, labels = torch.arange(8.0)[:, None], torch.tensor([0, 0, 0, 0, 0, 1, 1, 1])
    >>> first_batch(zip(images.split(4), labels.split(4)), size=4).targets.tolist()
    [0, 1, 0, 1]
    """
    size, balanced = as_integer("size", size), as_flag("balanced", balanced)
    seen: list[Batch] = []
    wanted = size * LOOK_AHEAD if balanced else size
    for item in items_of(loader):
        seen.append(one_batch(item))
        if sum(map(len, seen)) >= wanted:
            break
    count = sum(map(len, seen))
    if count < size:
        raise ForetellError(
            f"size is {size}, but the loader yields only {count} samples; give a smaller size"
        )
    whole = joined(seen)
    order = torch.arange(count)
    labels = whole.targets
    if balanced and isinstance(labels, Tensor) and labels.ndim == 1:
        if labels.is_floating_point():
            raise ForetellError("the targets are not class indices; pass balanced=False")
        order = first_of_each(labels)
    return whole.each(lambda tensor: tensor[order[:size].to(tensor.device)])


def items_of(loader: Any) -> Iterator[Any]:
    """Iterate over the loader; any exception that it raises becomes a ForetellError."""
    if isinstance(loader, str | bytes | Mapping | Batch | HasArray):
        raise wrong("loader", loader, "an iterable of batches, such as a DataLoader")
    try:
        iterator = iter(loader)
    except any_error() as error:
        wanted = "an iterable of batches, such as a DataLoader"
        raise wrong("loader", loader, wanted) from error
    while True:
        try:
            item = next(iterator)
        except StopIteration:
            return
        except any_error() as error:
            raise ForetellError(f"the loader raised {complaint_of(error)}") from error
        yield item


def one_batch(item: Any) -> Batch:
    """An item of a loader, converted to a Batch."""
    if isinstance(item, tuple | list) and len(item) == 2 and isinstance(item[1], Number):
        raise ForetellError(
            f"the loader yields samples, not batches: a target is {shown(item[1])}; give "
            "DataLoader(data, batch_size=64)"
        )
    if not isinstance(item, tuple | list | Batch | Mapping):
        raise wrong("an item of the loader", item, "a pair (inputs, targets), a Batch or a dict")
    return as_batch(item)


def joined(batches: list[Batch]) -> Batch:
    """All samples in one batch. Raises ForetellError if their shapes differ."""
    streams = zip(*(tensors([b.inputs, b.targets]) for b in batches), strict=True)
    try:
        whole = iter([torch.cat(parts) for parts in streams])
    except (RuntimeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise ForetellError(
            f"the batches cannot be concatenated ({reason}); pad them to the same shape"
        ) from error
    first = batches[0]
    return Batch(
        cast(Inputs, change_all(first.inputs, lambda _: next(whole))),
        change_all(first.targets, lambda _: next(whole)),
    )
