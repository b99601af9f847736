"""Run wrapped, compiled or scripted models as the Python code that they were made from."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from foretell.engine.modules import modules_of, named_modules_of
from foretell.errors import ForetellError, Undefined

__all__ = ["as_written", "check_seen", "unwrapped"]

PARALLEL = (nn.DataParallel, nn.parallel.DistributedDataParallel)


def unwrapped(model: nn.Module) -> nn.Module:
    """The module inside torch.compile, DataParallel or DistributedDataParallel.

    The inner module has the same scores. Raises ForetellError for a scripted, traced or sharded
    model, whose operations or weights cannot be observed, and for quantized weights, which have no
    gradients.

    >>> unwrapped(nn.DataParallel(nn.Linear(2, 3)))
    Linear(in_features=2, out_features=3, bias=True)
    """
    while (inner := inside(model)) is not None:
        model = inner
    if isinstance(model, torch.jit.ScriptModule):
        raise ForetellError(
            f"the model is a {type(model).__name__}, whose operations cannot be observed; give "
            "the module that it was made from, before torch.jit.script or torch.jit.trace"
        )
    if type(model).__name__ == "FullyShardedDataParallel":
        raise ForetellError(
            "the model is a FullyShardedDataParallel, whose weights are split; give the module "
            "that it was made from, before it was sharded"
        )
    if any(hasattr(parameter, "full_tensor") for parameter in model.parameters()):
        raise ForetellError(
            "the weights of the model are DTensors, which are split among processes; give the "
            "module as it was before it was distributed"
        )
    if (name := quantized_part(model)) is not None:
        raise ForetellError(
            f"{f'the weights of {name}' if name else 'the weights'} are quantized, so they can be "
            "neither trained nor drawn, and no score is defined; give the model as it was before "
            "it was quantized"
        )
    return model


def quantized_part(model: nn.Module) -> str | None:
    """The name of the first module that holds quantized weights; None if none does."""
    for name, module in named_modules_of(model):
        for held in (vars(module), module._parameters, module._buffers):
            for value in held.values():
                kind: Any = type(value)
                if may_be_quantized(kind) and is_quantized(value):
                    return name.partition("._")[0]  # a module of torch's own that only holds them
    return None


@lru_cache(maxsize=1024)
def may_be_quantized(kind: type) -> bool:
    """Whether an object of this type is a tensor, or may be packed weights."""
    return issubclass(kind, torch.Tensor | torch.ScriptObject)


def is_quantized(value: Any) -> bool:
    """Whether this is a quantized tensor, or weights that were packed for quantized operations."""
    if isinstance(value, torch.Tensor):
        return value.is_quantized
    packed: bool = value._type().qualified_name().split(".")[-2] in ("quantized", "rnn")
    return packed


def inside(wrapper: nn.Module) -> nn.Module | None:
    """The module inside a wrapper; None for any other module."""
    if isinstance(wrapper, PARALLEL):
        module: nn.Module = wrapper.module
        return module
    dynamo: Any = sys.modules.get("torch._dynamo.eval_frame")  # imported only by code that compiles
    if dynamo is not None and isinstance(wrapper, dynamo.OptimizedModule):
        original: nn.Module = wrapper._orig_mod
        return original
    return None


@contextmanager
def as_written(model: nn.Module) -> Iterator[None]:
    """Within the block, parts of a model run as the Python code that they were made from.

    This concerns compiled functions and modules, scripted functions, parallel modules, which then
    run on the device of their input, and attention that would otherwise run as a single operation.
    The operations of such parts could not be observed.
    """
    for module in modules_of(model):
        if isinstance(module, PARALLEL):
            vars(module)["forward"] = module.module  # attributes of the model are restored later
    one_operation = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    SCRIPTED.__call__ = as_python
    try:
        with eagerly():
            yield
    finally:
        SCRIPTED.__call__ = scripted_call
        torch.backends.mha.set_fastpath_enabled(one_operation)


@contextmanager
def eagerly() -> Iterator[None]:
    """Within the block, compiled code runs uncompiled."""
    if "torch._dynamo" not in sys.modules:  # nothing can have been compiled
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


SCRIPTED: Any = torch.jit.ScriptFunction
scripted_call = SCRIPTED.__call__


def as_python(function: Any, *args: Any, **kwargs: Any) -> Any:
    """Run the Python code that a scripted function was made from; traced functions run unchanged.

    A trace does not contain the branches that its function did not take.
    """
    source = getattr(function, "_torchdynamo_inline", None)
    jit: Any = torch.jit
    if source is not None and jit._state._try_get_jit_cached_function(source) is not None:
        return source(*args, **kwargs)
    return scripted_call(function, *args, **kwargs)


def check_seen(model: nn.Module) -> None:
    """Raise Undefined if a module within the model is scripted, since it cannot be observed."""
    for name, module in named_modules_of(model):
        if isinstance(module, torch.jit.ScriptModule):
            raise Undefined(
                f"the operations of {name}, which is scripted, cannot be observed; replace it by "
                "the module that it was made from"
            )
