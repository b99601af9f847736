"""Which operations overwrite their first argument."""

from typing import Any

__all__ = ["in_place"]


def in_place(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether the operation overwrites its first argument.

    >>> in_place("relu_", (), {}), in_place("relu", (), {}), in_place("__iadd__", (), {})
    (True, False, True)
    """
    if name.startswith("__i") and name not in ("__index__", "__int__", "__invert__"):
        return True
    if name.endswith("_") and not name.endswith("__"):
        return name not in ("requires_grad_", "retain_grad_")
    return bool(kwargs.get("inplace")) or name == "__setitem__"
