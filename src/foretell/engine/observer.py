"""What looks on while a model runs: one base for everything that sees its operations."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

__all__ = ["Observer", "Then"]

Then = Callable[[Any], None]
"""What is still to be done once an operation has returned; it is given the result."""


class Observer(TorchFunctionMode):
    """Within the block each of torch's operations passes by, of a model as of anybody else.

    `look` is called before an operation runs and sees its arguments, `run` runs it, and what `look`
    returned is called with the result. What is computed in `look` and after the operation is hidden
    from all other observers; what is computed in `run` is not.

    >>> class Names(Observer):
    ...     def look(self, func, name, args, kwargs):
    ...         return lambda out: print(name, tuple(out.shape))
    >>> with Names():
    ...     _ = torch.ones(2, 3).sum(0)
    ones (2, 3)
    sum (3,)
    """

    def __torch_function__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name = operation_name(func)
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
        """Look at an operation before it runs; None if its result does not matter."""
        return None

    def run(self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The operation's result, or that of what is run in its place."""
        return func(*args, **kwargs)


def operation_name(func: Any) -> str:
    """An operation's name, the same whether it is a function, a method or an overload in torch.ops.

    >>> [operation_name(f) for f in (torch.relu_, torch.Tensor.relu_, torch.ops.aten.relu_.default)]
    ['relu_', 'relu_', 'relu_']
    """
    name: str = getattr(func, "__name__", "")
    return name.partition(".")[0] if "." in name else name
