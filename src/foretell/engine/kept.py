"""Keep the tensors that autograd saves, even if the model would recompute them.

torch.utils.checkpoint runs a part of the model again in the backward pass, where operations are
neither observed nor replaced, and hooks on saved tensors may change their values.

    >>> from torch.utils.checkpoint import checkpoint
    >>> x = torch.ones(2, requires_grad=True)
    >>> runs = []
    >>> def part(h):
    ...     runs.append(1)
    ...     return h.exp()
    >>> with Kept():
    ...     y = checkpoint(part, x, use_reentrant=False).sum()
    >>> y.backward()
    >>> len(runs)
    1
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from foretell.engine.observer import Observer, Then
from foretell.engine.operations import in_place

__all__ = ["Kept"]


@dataclass
class Saved:
    """A tensor that autograd has saved, and its version (number of writes) at that time."""

    tensor: Tensor
    version: int


class Kept(Observer):
    """Within the block, hooks on saved tensors are replaced by hooks that keep the tensors."""

    def __init__(self) -> None:
        super().__init__()
        self._saved: dict[int, list[Saved]] = {}

    def __enter__(self) -> "Kept":
        self._theirs = saved_tensors_hooks.__enter__
        saved_tensors_hooks.__enter__ = lambda _: self._push()  # type: ignore[method-assign]
        super().__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)
        saved_tensors_hooks.__enter__ = self._theirs  # type: ignore[method-assign]
        self._saved.clear()

    def look(
        self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Then | None:
        if self._saved and args and in_place(name, args, kwargs):
            self._copy(args[0])
        if self._saved and isinstance(target := kwargs.get("out"), Tensor):
            self._copy(target)
        return None

    def _push(self) -> None:
        torch._C._autograd._push_saved_tensors_default_hooks(self._pack, unpacked)

    def _pack(self, tensor: Tensor) -> Saved:
        """A detached tensor, unless it is a leaf, since its node would refer to this object."""
        saved = Saved(tensor if tensor.is_leaf else tensor.detach(), tensor._version)
        self._saved.setdefault(tensor.untyped_storage()._cdata, []).append(saved)
        return saved

    def _copy(self, target: Any) -> None:
        """Copy the saved tensors that share memory with one that is about to be overwritten."""
        if isinstance(target, Tensor):
            for saved in self._saved.pop(target.untyped_storage()._cdata, ()):
                saved.tensor = saved.tensor.detach().clone()
                saved.version = saved.tensor._version


def unpacked(saved: Saved) -> Tensor:
    """The saved tensor. Raises RuntimeError, like torch, if it was overwritten unobserved."""
    if saved.tensor._version != saved.version:
        raise RuntimeError(
            "a tensor that is needed for the gradient was overwritten in place by an operation "
            "that cannot be observed"
        )
    return saved.tensor
