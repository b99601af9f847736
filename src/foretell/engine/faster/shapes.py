"""Run operations on tensors without values, computing the shapes of results only once.

PyTorch computes the result of an operation on such tensors in Python, which can take several
milliseconds, and networks repeat the same few operations.
"""

from collections.abc import Hashable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["KnownShapes"]

Like = tuple[torch.Size, tuple[int, ...], torch.dtype]
"""The shape, strides and type that describe a tensor without values."""

ITSELF = "the first argument"
"""The description of the result of an in-place operation."""


class KnownShapes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Within the block, cache the results of operations on tensors without values by shape.

    Only operations of PyTorch that return new tensors, or that write to their first argument and
    return it, are cached; others, such as views, are run every time.

    >>> x = torch.empty(2, 3, device="meta")
    >>> with KnownShapes() as known:
    ...     (x + 1).shape, (x + 1).shape, x.t().shape
    (torch.Size([2, 3]), torch.Size([2, 3]), torch.Size([3, 2]))
    >>> len(known)
    1
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._found: dict[Hashable, str | Like | list[Like]] = {}

    def __len__(self) -> int:
        return len(self._found)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        key = key_of(func, args, kwargs)
        found = self._found.get(key)
        if found is None:
            out = func(*args, **kwargs)
            if key is not None and is_plain_result(out):
                self._found[key] = ITSELF if out is args[0] else described(out)
            return out
        if isinstance(found, str):  # ITSELF
            return args[0]
        return tuple(map(new, found)) if isinstance(found, list) else new(found)


def key_of(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Hashable:
    """The key that determines the shapes of the results; None for an operation that must be run."""
    own = isinstance(func, torch._ops.OpOverload) and func.namespace == "aten"
    if not own or not args or not (makes_new(func) or is_in_place(func)):
        return None
    try:
        return func, kind(args), kind(tuple(kwargs.items()))
    except TypeError:  # an argument of an unknown type
        return None


def makes_new(func: Any) -> bool:
    """Whether no result shares memory with an argument.

    Such an operation may still write values to an argument, as batch normalisation does, but these
    tensors have no values.
    """
    return not any(result.alias_info for result in func._schema.returns)


def is_in_place(func: Any) -> bool:
    """Whether the operation writes values to its first argument and returns it."""
    name = func._schema.name
    return name.endswith("_") and torch.Tag.inplace_view not in func.tags


def kind(value: Any) -> Hashable:
    """The part of the key for an argument: equal for tensors that differ only in values.

    Raises TypeError for a tensor with values, and for an object of an unknown type.
    """
    if isinstance(value, Tensor):
        if type(value) not in (Tensor, torch.nn.Parameter) or not is_plain(value):
            raise TypeError
        return like(value)
    if isinstance(value, tuple | list):
        return (type(value), *map(kind, value))
    if value is None or isinstance(value, KNOWN):
        return (type(value), value)
    raise TypeError


KNOWN = (
    *(bool, int, float, complex, str),
    *(torch.dtype, torch.device, torch.layout, torch.memory_format),
)


def is_plain(tensor: Tensor) -> bool:
    """Whether a tensor has no values, and is described by its shape, strides and type."""
    marked = tensor.is_conj() or tensor.is_neg() or tensor.is_quantized
    return tensor.is_meta and tensor.layout is torch.strided and not marked


def is_plain_result(out: Any) -> bool:
    """Whether the result of an operation consists of plain tensors."""
    each = out if isinstance(out, tuple) else (out,)
    return all(type(one) is Tensor and is_plain(one) for one in each)


def described(out: Tensor | tuple[Tensor, ...]) -> Like | list[Like]:
    """The description of the results of an operation."""
    return [like(one) for one in out] if isinstance(out, tuple) else like(out)


def like(tensor: Tensor) -> Like:
    """The description of a tensor without values."""
    return tensor.shape, tensor.stride(), tensor.dtype


def new(like: Like) -> Tensor:
    """A tensor without values of this shape, with these strides and of this type."""
    shape, strides, dtype = like
    return torch.empty_strided(shape, strides, dtype=dtype, device="meta")
