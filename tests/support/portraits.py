"""Everything that a model, a value or the generators hold, so that any change would show."""

import random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


def raw(tensor: Tensor) -> bytes:
    """A tensor's bits, with its dtype and shape."""
    if tensor.is_meta:
        return b"meta"
    numbers = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
    return f"{tensor.dtype}{tuple(tensor.shape)}".encode() + numbers


def picture(value: Any) -> Any:
    """Anything a module may hold, so that a change would show: tensors by identity and by bits."""
    if isinstance(value, Tensor):
        grad = None if value.grad is None else (id(value.grad), raw(value.grad))
        hooks = len(value._backward_hooks or ())
        flags = (value.requires_grad, value.is_leaf, value._version, hooks)
        return id(value), raw(value), grad, flags
    if isinstance(value, nn.Module):
        return type(value), id(value)
    if isinstance(value, dict):
        return [(key, picture(item)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return [picture(item) for item in value]
    return repr(value)


def portrait(model: nn.Module) -> dict[str, Any]:
    """Every attribute of every module: parameters, buffers, modes, hooks, settings."""
    return {
        f"{name}.{attribute}": picture(value)
        for name, module in model.named_modules()
        for attribute, value in vars(module).items()
        if attribute != "_flat_weight_refs"  # weak references of recurrent layers to their weights
    }


def streams() -> list[Any]:
    """The states of the random number generators."""
    return [torch.get_rng_state().tolist(), random.getstate(), repr(np.random.get_state())]
