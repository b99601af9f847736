"""Run a model without changing it or any random number generator."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

from foretell.batch import Batch
from foretell.engine.failures import (
    ModelFailed,
    TooFewValues,
    any_error,
    complaint_of,
    is_out_of_memory,
)
from foretell.engine.kept import Kept
from foretell.engine.modules import modules_of, named_modules_of
from foretell.errors import ForetellError, Undefined
from foretell.seeds import derived_seed

__all__ = ["BatchNorm", "call", "derived_seed", "mode", "sets_more_than_its_mode"]

Modules = list[tuple[str, nn.Module]]
"""The modules of a model with their names."""

BatchNorm = Literal["batch", "frozen"]
"""The statistics of batch normalisation: those of the minibatch, or the running ones."""


REENTRANT = (
    "the model recomputes activations by a re-entrant torch.utils.checkpoint, which hides its "
    "weights from torch.autograd.grad; give it use_reentrant=False, or switch checkpointing off"
)


@contextmanager
def mode(model: nn.Module, *, training: bool, batch_norm: BatchNorm = "batch") -> Iterator[None]:
    """Within the block, the model is in training or evaluation mode; each mode is restored after.

    The model's own `train` method is respected, for example if it keeps normalisations frozen.
    """
    before = {module: module.training for module in modules_of(model)}
    try:
        set_training(dict.fromkeys(before, training))  # a user's `train` may omit some modules
        if sets_more_than_its_mode(before):
            call_train(model, training=training)
        if batch_norm == "frozen":
            freeze_statistics(before)
        yield
    finally:
        set_training(before)


def call_train(model: nn.Module, *, training: bool) -> None:
    """Call the model's own `train`. Raises ModelFailed if it raises anything."""
    try:
        model.train(training)
    except any_error() as error:
        complaint = complaint_of(error)
        raise ModelFailed(
            f"{type(model).__name__}.train({training}) raised {complaint}; if the model was "
            "exported or converted, give the module that it was made from",
            complaint,
        ) from error


def sets_more_than_its_mode(modules: Iterable[nn.Module]) -> bool:
    """Whether `train` of a module is overridden, and may thus have other effects.

    >>> sets_more_than_its_mode([nn.Linear(2, 2), nn.ReLU()])
    False
    """
    kinds: set[Any] = set(map(type, modules))
    own = any(getattr(kind, name) is not USUAL[name] for kind in kinds for name in USUAL)
    return own or any("train" in vars(module) for module in modules)


USUAL = {name: getattr(nn.Module, name) for name in ("train", "__setattr__")}
"""The methods that set the mode of a module."""


def set_training(modes: Mapping[nn.Module, bool]) -> None:
    """Set `training` of each module where it differs, since assignment is slow in nn.Module."""
    for module, training in modes.items():
        if module.training is not training:
            module.training = training


def freeze_statistics(modules: Iterable[nn.Module]) -> None:
    """Make batch normalisations use their running statistics.

    Raises ForetellError if one has none.
    """
    for module in filter(is_batch_norm, modules):
        module.training = False
        if getattr(module, "running_mean", None) is None:
            raise ForetellError(
                "batch_norm='frozen' needs running statistics; "
                f"this {type(module).__name__} keeps none (track_running_stats=False)"
            )


def is_batch_norm(module: nn.Module) -> bool:
    """Whether the layer normalises by statistics of the batch in training mode."""
    instance = nn.modules.instancenorm._InstanceNorm
    return isinstance(module, nn.modules.batchnorm._NormBase) and not isinstance(module, instance)


def in_each_place(modules: Modules, replacements: dict[str, Tensor]) -> dict[str, Tensor]:
    """The replacements with one entry for every place of a tensor; a tied tensor has several.

    A module with several names is a single place. The own handling of ties in functional_call would
    replace its tensors once per name, and finally restore the first replacement.
    """
    own = [
        (f"{prefix}.{leaf}" if prefix else leaf, tensor)
        for prefix, module in modules
        for leaf, tensor in (*module._parameters.items(), *module._buffers.items())
    ]
    new = {id(tensor): replacements[name] for name, tensor in own if name in replacements}
    return {name: new[id(tensor)] for name, tensor in own if id(tensor) in new}


class Within(nn.Module):
    """A module that runs a function while functional_call replaces tensors of a model."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, run: Callable[[], Any]) -> Any:
        """Return the result of `run`."""
        return run()


def call(
    model: nn.Module,
    replacements: dict[str, Tensor],
    batch: Batch,
    then: Callable[[Any], Any] | None = None,
) -> Any:
    """The outputs of the model with some parameters or buffers replaced; other buffers are copied.

    `then` is applied to the outputs while the replacements are still in place: for example a
    backward pass, during which the model may run again.

    Raises ModelFailed with the original message if the model raises anything, even SystemExit.
    """

    def run() -> Any:
        before = registered(model)
        outputs = batch.feed(model)
        check_parameters(before, model)
        return outputs if then is None else then(outputs)

    with torch._C.DisableTorchFunction():
        modules = named_modules_of(model)
        buffers = {
            f"{prefix}.{leaf}" if prefix else leaf: buffer.clone()
            for prefix, module in modules
            for leaf, buffer in module._buffers.items()
            if buffer is not None
        }
        places = in_each_place(modules, {**buffers, **replacements})
    try:
        with warnings.catch_warnings(), Kept():
            warnings.filterwarnings("error", "None of the inputs have requires_grad")
            within = {f"model.{name}": tensor for name, tensor in places.items()}
            return functional_call(Within(model), within, (run,), tie_weights=False)
    except (ForetellError, Undefined, torch.OutOfMemoryError, MemoryError):
        raise
    except any_error() as error:
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
            f"{type(model).__name__} does not accept the batch ({complaint}); {advice(model)}",
            complaint,
        ) from error


def advice(model: nn.Module) -> str:
    """The end of the error message if a model does not run."""
    types = {str(p.dtype).removeprefix("torch.") for p in model.parameters()}
    if len(types) > 1:
        many = " and ".join(sorted(types))
        return f"its parameters are {many}; check whether they must have one type (model.float())"
    return "check the inputs' shape and type"


Registered = dict[nn.Module, dict[str, Tensor | None]]
"""The parameters of each module by their names in that module."""


def registered(model: nn.Module) -> Registered:
    """The current parameters of the modules of the model."""
    return {module: dict(own) for module in modules_of(model) if (own := module._parameters)}


def check_parameters(before: Registered, model: nn.Module) -> None:
    """Raise ForetellError if a parameter is new, since the gradient of the previous one is lost."""
    for prefix, module in named_modules_of(model):
        held = before.get(module, {})
        for leaf, parameter in module._parameters.items():
            if parameter is held.get(leaf):
                continue
            name = f"{prefix}.{leaf}" if prefix else leaf
            if held.get(leaf) is None:
                raise ForetellError(
                    f"the model creates the parameter {name} while it runs; run one batch through "
                    "it first, so that it has all its weights"
                )
            raise ForetellError(
                f"the model replaces the parameter {name} while it runs, which loses its gradient; "
                "write to the existing one instead (under torch.no_grad)"
            )
