"""The complete state of a model, a value or the generators, to detect any change."""

import random
from array import array
from collections import deque
from functools import partial
from types import FunctionType, MethodType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


def raw(tensor: Tensor) -> bytes:
    """The bits of a tensor, with its dtype and shape."""
    if tensor.is_meta:
        return b"meta"
    numbers = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
    return f"{tensor.dtype}{tuple(tensor.shape)}".encode() + numbers


def picture(value: Any) -> Any:
    """A picture of a value in a module that shows every change: tensors by identity and bits."""
    if isinstance(value, Tensor):
        held = value.grad if value.is_leaf else None
        grad = None if held is None else (id(held), raw(held))
        hooks = len(value._backward_hooks or ())
        flags = (value.requires_grad, value.is_leaf, value._version, hooks)
        return id(value), raw(value), grad, flags
    if isinstance(value, nn.Module):
        return type(value), id(value)
    if isinstance(value, dict):
        items = [(key, picture(item)) for key, item in value.items()]
        return [type(value), id(value), items, drawn(value)]
    if isinstance(value, list | tuple | deque | set):
        return [type(value), id(value), [picture(item) for item in value], drawn(value)]
    if isinstance(value, array | bytearray | np.ndarray):
        return [id(value), bytes(value), repr(value)]
    if isinstance(value, random.Random):
        return value.getstate()
    if isinstance(value, torch.Generator):
        return value.get_state().tolist()
    if isinstance(value, FunctionType):
        cells = [picture(cell.cell_contents) for cell in value.__closure__ or ()]
        return [id(value), cells, picture(value.__defaults__)]
    if isinstance(value, MethodType):
        return [picture(value.__self__), picture(value.__func__)]
    if isinstance(value, partial):
        return [picture(value.func), picture(value.args), picture(value.keywords)]
    return drawn(value) or repr(value)


def drawn(value: Any) -> Any:
    """The attributes of a namespace, or of an object whose class is defined in the tests."""
    if not isinstance(value, SimpleNamespace) and not type(value).__module__.startswith("tests"):
        return None
    slots = {name: getattr(value, name) for name in getattr(value, "__slots__", ())}
    held = {**getattr(value, "__dict__", {}), **slots}
    return [id(value), {name: picture(item) for name, item in held.items()}]


def portrait(model: nn.Module) -> dict[str, Any]:
    """Every attribute of every module and of its class: parameters, buffers, modes, hooks."""
    return {
        f"{name}.{place}.{attribute}": picture(value)
        for name, module in model.named_modules()
        for place, holder in (("own", module), ("class", type(module)))
        for attribute, value in vars(holder).items()
        if attribute != "_flat_weight_refs"  # weak references of recurrent layers to their weights
        and not (place == "class" and type(module).__module__.startswith("torch"))
    }


def streams() -> list[Any]:
    """The states of the random number generators."""
    return [torch.get_rng_state().tolist(), random.getstate(), repr(np.random.get_state())]
