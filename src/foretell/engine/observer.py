"""The base class of observers, which see the operations of a running model."""

from collections.abc import Callable, Collection, Iterable
from functools import cache
from types import BuiltinFunctionType
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F
from torch._ops import OpOverload, OpOverloadPacket
from torch.overrides import TorchFunctionMode

from foretell.engine.operations import MAPS_TO_ONE

__all__ = ["Observer", "Then", "operation_name"]

INPUT_LATER = {"where", "searchsorted"}
"""Operations whose `input` is not their first argument."""

push = torch._C._push_on_torch_function_stack
pop: Callable[[], Any] = torch._C._pop_torch_function_stack

Then = Callable[[Any], None]
"""A function that is called with the result of an operation after it has run."""


class Observer:
    """Within the block, observes every operation of torch, regardless of the caller.

    `look` is called with the arguments before an operation runs, `run` runs it, and the function
    that `look` returned is called with the result. Operations in `look` and in that function are
    hidden from all other observers; those in `run` are seen by the observers around this one.

    >>> class Names(Observer):
    ...     def look(self, func, name, args, kwargs):
    ...         return lambda out: print(name, tuple(out.shape))
    >>> with Names():
    ...     _ = torch.ones(2, 3).sum(0)
    ones (2, 3)
    sum (3,)
    """

    replaced: ClassVar[Collection[Any] | None] = None
    """The functions that `run` replaces, or their names, if it is overridden; None for all."""
    _looks = False
    """Whether the class overrides `look`."""
    _runs = False
    """Whether the class overrides `run`."""

    def __init_subclass__(cls) -> None:
        cls._looks = cls.look is not Observer.look
        cls._runs = cls.run is not Observer.run

    def __enter__(self) -> Self:
        depth = torch._C._len_torch_function_stack()
        around = torch._C._get_function_stack_at(depth - 1) if depth else None
        if not isinstance(around, Chain):  # perhaps a mode of the caller's
            push(Chain(self))
            return self
        pop()
        push(Chain(self, around))
        return self

    def __exit__(self, *raised: object) -> None:
        if (around := pop().around) is not None:
            push(around)

    def look(
        self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Then | None:
        """Observe an operation before it runs; return None if its result is not needed."""
        return None

    def run(self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The result of the operation, or of a replacement."""
        return func(*args, **kwargs)

    def runs(self, func: Any, name: str) -> bool:
        """Whether `run`, if it is overridden, replaces this function."""
        known = self.replaced
        return known is None or func in known or name in known


class Chain(TorchFunctionMode):
    """Passes operations to an observer and to those around it, in a single call by torch."""

    def __init__(self, observer: Observer, around: "Chain | None" = None) -> None:
        super().__init__()
        self.observer, self.around = observer, around

    def __torch_function__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs, func = kwargs or {}, as_called(func)
        name = operation_name(func)
        if not args and "input" in kwargs and name not in INPUT_LATER:
            args, kwargs = (kwargs["input"],), {k: v for k, v in kwargs.items() if k != "input"}
        thens: list[Then] = []
        link: Chain | None = self
        with torch._C.DisableTorchFunction():
            while link is not None:
                observer = link.observer
                if observer._looks and (then := observer.look(func, name, args, kwargs)):
                    thens.append(then)
                if observer._runs and observer.runs(func, name):
                    break
                link = link.around
        out = func(*args, **kwargs) if link is None else link.run(func, name, args, kwargs)
        if thens:
            with torch._C.DisableTorchFunction():
                for then in reversed(thens):
                    then(out)
        return out

    def run(self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The result of the observer's `run`, whose operations the observers around it see."""
        if self.around is None:
            return self.observer.run(func, name, args, kwargs)
        push(self.around)
        try:
            return self.observer.run(func, name, args, kwargs)
        finally:
            pop()


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
