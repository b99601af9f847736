"""The base class of observers, which see the operations of a running model."""

from collections.abc import Callable, Iterable
from functools import cache
from types import BuiltinFunctionType
from typing import Any

import torch
import torch.nn.functional as F
from torch._ops import OpOverload, OpOverloadPacket
from torch.overrides import TorchFunctionMode

from foretell.engine.operations import MAPS_TO_ONE

__all__ = ["Observer", "Then", "operation_name"]

INPUT_LATER = {"where", "searchsorted"}
"""Operations whose `input` is not their first argument."""

Then = Callable[[Any], None]
"""A function that is called with the result of an operation after it has run."""


class Observer(TorchFunctionMode):
    """Within the block, observes every operation of torch, regardless of the caller.

    `look` is called with the arguments before an operation runs, `run` runs it, and the function
    that `look` returned is called with the result. Operations in `look` and in that function are
    hidden from all other observers; those in `run` are not.

    >>> class Names(Observer):
    ...     def look(self, func, name, args, kwargs):
    ...         return lambda out: print(name, tuple(out.shape))
    >>> with Names():
    ...     _ = torch.ones(2, 3).sum(0)
    ones (2, 3)
    sum (3,)
    """

    _looks = False
    """Whether the class overrides `look`."""

    def __init_subclass__(cls) -> None:
        cls._looks = cls.look is not Observer.look

    def __torch_function__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs, func = kwargs or {}, as_called(func)
        name = operation_name(func)
        if not args and "input" in kwargs and name not in INPUT_LATER:
            args, kwargs = (kwargs["input"],), {k: v for k, v in kwargs.items() if k != "input"}
        if not self._looks:
            return self.run(func, name, args, kwargs)
        with torch._C.DisableTorchFunction():
            then = self.look(func, name, args, kwargs)
        out = self.run(func, name, args, kwargs)
        if then is not None:
            with torch._C.DisableTorchFunction():
                then(out)
        return out

    def look(
        self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Then | None:
        """Observe an operation before it runs; return None if its result is not needed."""
        return None

    def run(self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The result of the operation, or of a replacement."""
        return func(*args, **kwargs)


@cache
def as_called(func: Any) -> Any:
    """The function of torch that an operator in torch.ops.aten is usually called by.

    >>> as_called(torch.ops.aten.conv2d.default) is torch.conv2d
    True
    """
    if not isinstance(func, OpOverload | OpOverloadPacket) or str(func).split(".")[0] != "aten":
        return func
    name = operation_name(func)
    builtin = (getattr(home, name, None) for home in (torch, F))
    found = next((f for f in builtin if isinstance(f, BuiltinFunctionType)), func)
    return next((f for f in MAPS_TO_ONE if f.__name__ == name), found)  # these are in Python


def operation_name(func: Any) -> str:
    """The name of an operation, equal for functions, methods and overloads in torch.ops.

    >>> [operation_name(f) for f in (torch.relu_, torch.Tensor.relu_, torch.ops.aten.relu_.default)]
    ['relu_', 'relu_', 'relu_']
    """
    name: str = getattr(func, "__name__", "")
    return name.partition(".")[0] if "." in name else name
