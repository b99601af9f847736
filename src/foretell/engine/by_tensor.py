"""Dictionaries whose keys are tensors, compared by identity and not kept alive.

They do what torch.utils.weak.WeakTensorKeyDictionary does, but a lookup takes a tenth of the time,
and observers do several for each operation.
"""

from collections.abc import Iterable, Iterator, MutableMapping
from typing import Any, TypeVar
from weakref import ref

from torch import Tensor

__all__ = ["ByTensor"]

V = TypeVar("V")


class ByTensor(MutableMapping[Tensor, V]):
    """A dictionary with tensors as keys; an entry is removed when its tensor is freed.

    >>> import torch
    >>> x, y = torch.ones(2), torch.ones(2)
    >>> names = ByTensor([(x, "x"), (y, "y")])
    >>> names[x], names.get(torch.ones(2)), len(names)
    ('x', None, 2)
    >>> del x
    >>> list(names.values())
    ['y']
    """

    def __init__(self, items: Iterable[tuple[Tensor, V]] = ()) -> None:
        self._entries: dict[int, tuple[ref[Tensor], V]] = {}
        self.update(items)

    def get(self, tensor: Tensor, default: Any = None) -> Any:
        """The value of a tensor, or the default if it has none."""
        entry = self._entries.get(id(tensor))
        return default if entry is None else entry[1]

    def __contains__(self, tensor: object) -> bool:
        return id(tensor) in self._entries

    def __getitem__(self, tensor: Tensor) -> V:
        return self._entries[id(tensor)][1]

    def __setitem__(self, tensor: Tensor, value: V) -> None:
        key, entries = id(tensor), self._entries

        def forget(freed: ref[Tensor]) -> None:
            entries.pop(key, None)

        entries[key] = ref(tensor, forget), value

    def __delitem__(self, tensor: Tensor) -> None:
        del self._entries[id(tensor)]

    def __iter__(self) -> Iterator[Tensor]:
        alive = [held() for held, _ in self._entries.values()]
        return iter([tensor for tensor in alive if tensor is not None])

    def __len__(self) -> int:
        return len(self._entries)

    def clear(self) -> None:
        """Remove all entries."""
        self._entries.clear()
