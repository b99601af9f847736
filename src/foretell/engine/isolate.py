"""Run a model and leave it, and every random generator, exactly as found."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

from foretell.batch import Batch
from foretell.engine.failures import ANY, ModelFailed, TooFewValues, complaint_of, is_out_of_memory
from foretell.engine.observer import Observer
from foretell.errors import ForetellError, Undefined

__all__ = ["BatchNorm", "call", "mode", "own_attributes"]

BatchNorm = Literal["batch", "frozen"]
"""Statistics of batch normalisation: the minibatch's own, or the model's running ones."""


REENTRANT = (
    "the model recomputes activations by a re-entrant torch.utils.checkpoint, which hides its "
    "weights from torch.autograd.grad; give it use_reentrant=False, or switch checkpointing off"
)


@contextmanager
def mode(model: nn.Module, *, training: bool, batch_norm: BatchNorm = "batch") -> Iterator[None]:
    """Put every module in training or evaluation mode; afterwards each has its own mode again."""
    before = {module: module.training for module in model.modules()}
    try:
        for module in before:
            frozen = batch_norm == "frozen" and is_batch_norm(module)
            module.training = training and not frozen
            if frozen and getattr(module, "running_mean", None) is None:
                raise ForetellError(
                    "batch_norm='frozen' needs running statistics; "
                    f"this {type(module).__name__} keeps none (track_running_stats=False)"
                )
        yield
    finally:
        for module, training_before in before.items():
            module.training = training_before


def is_batch_norm(module: nn.Module) -> bool:
    """True for a layer whose training mode couples the samples of a batch by their statistics."""
    instance = nn.modules.instancenorm._InstanceNorm
    return isinstance(module, nn.modules.batchnorm._NormBase) and not isinstance(module, instance)


@contextmanager
def own_attributes(model: nn.Module) -> Iterator[None]:
    """Let modules write into attributes that are neither parameters nor buffers, then undo it.

    Tensors, lists and dicts that a module holds (a cache, a counter) come back as they were.
    """
    before = {module: dict(module.__dict__) for module in model.modules()}
    contents = [held for attributes in before.values() for held in contents_of(attributes)]
    try:
        yield
    finally:
        for module, attributes in before.items():
            module.__dict__.clear()
            module.__dict__.update(attributes)
        for restore in contents:
            restore()


def contents_of(attributes: dict[str, Any]) -> Iterator[Callable[[], None]]:
    """For each container or tensor among a module's own attributes, what puts its content back."""
    for name, value in attributes.items():
        if name in REGISTRIES:
            continue
        if isinstance(value, Tensor):
            yield partial(put_back_tensor, value, value._version, value.detach().clone())
        elif type(value) in (list, dict, set):
            yield partial(put_back, value, value.copy())
            items = value.values() if isinstance(value, dict) else value
            for item in items:
                if isinstance(item, Tensor) and not isinstance(item, nn.Parameter):
                    yield partial(put_back_tensor, item, item._version, item.detach().clone())


REGISTRIES = frozenset(nn.Module().__dict__)
"""What torch itself keeps in a module; parameters and buffers are looked after elsewhere."""


def put_back(container: Any, content: Any) -> None:
    """Give a list, dict or set the content it had, if it changed."""
    if isinstance(container, list):
        container[:] = content
    else:
        container.clear()
        container.update(content)


def put_back_tensor(tensor: Tensor, version: int, content: Tensor) -> None:
    """Give a tensor the values it had, if it was written to."""
    if tensor._version != version:
        with torch.no_grad():
            tensor.copy_(content)


def in_each_place(model: nn.Module, replacements: dict[str, Tensor]) -> dict[str, Tensor]:
    """The replacements by every place that holds the tensor: several if it is tied.

    A module that has several names is one place. functional_call's own ties would replace its
    tensors once a name, and put the first replacement back in the end.
    """
    own = (*model.named_parameters(), *model.named_buffers())
    new = {id(tensor): replacements[name] for name, tensor in own if name in replacements}
    return {
        f"{prefix}.{leaf}" if prefix else leaf: new[id(tensor)]
        for prefix, module in model.named_modules()
        for leaf, tensor in (*module._parameters.items(), *module._buffers.items())
        if id(tensor) in new
    }


class Kept(Observer):
    """Within the block activations are kept even where the model would have them recomputed.

    torch.utils.checkpoint would run a part of the model again in the backward pass, out of sight
    of whatever watches or replaces its operations.
    """

    def __enter__(self) -> "Kept":
        self._before = saved_tensors_hooks_now()
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def run(self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if saved_tensors_hooks_now() == self._before:
            return func(*args, **kwargs)
        with torch.autograd.graph.saved_tensors_hooks(lambda kept: kept, lambda kept: kept):
            return func(*args, **kwargs)


def saved_tensors_hooks_now() -> Any:
    """The innermost hooks on what autograd saves; None if there are none."""
    return torch._C._autograd._top_saved_tensors_default_hooks(True)


def call(model: nn.Module, replacements: dict[str, Tensor], batch: Batch) -> object:
    """The model's outputs with some parameters or buffers replaced; all other buffers are copies.

    Raises ModelFailed, with the model's own complaint, whatever its code raises; SystemExit, too.
    """
    with torch._C.DisableTorchFunction():
        buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
        places = in_each_place(model, {**buffers, **replacements})
    try:
        with warnings.catch_warnings(), Kept():
            warnings.filterwarnings("error", "None of the inputs have requires_grad")
            return batch.feed(
                lambda *args, **kwargs: functional_call(
                    model, places, args, kwargs, tie_weights=False
                )
            )
    except (ForetellError, Undefined, torch.OutOfMemoryError, MemoryError):
        raise
    except ANY as error:
        complaint = complaint_of(error)
        if "None of the inputs have requires_grad" in complaint:
            raise ForetellError(REENTRANT) from error
        if is_out_of_memory(error):
            raise
        if len(batch) == 1 and "more than 1 value per channel" in complaint:
            raise TooFewValues(
                "BatchNorm needs at least two values per channel and the batch has one sample; "
                "give two samples or batch_norm='frozen'",
                complaint,
            ) from error
        raise ModelFailed(
            f"{type(model).__name__} does not accept the batch ({complaint}); "
            "check the inputs' shape and type",
            complaint,
        ) from error
