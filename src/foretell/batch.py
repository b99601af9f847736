"""A minibatch: the inputs of a model and the targets of its outputs."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from inspect import signature
from numbers import Real
from typing import Any, Literal, Protocol, cast, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from foretell.checks import keep, wrong
from foretell.errors import ForetellError, Undefined, any_error, complaint_of, shown

__all__ = ["Batch", "Given", "Inputs", "Kind", "as_batch", "in_rows", "main_output"]

Inputs = Tensor | tuple[Any, ...] | list[Any] | dict[str, Any]

Kind = Literal["image", "tokens", "audio", "table"]
"""The kind of the samples: images [N, C, H, W], token ids [N, length], audio frames [N, time,
features], or rows of a table [N, columns]."""


@dataclass(frozen=True, eq=False, repr=False)
class Batch:
    """A minibatch: inputs and targets whose first dimension runs over the samples.

    A tuple of inputs is passed as positional arguments, a dict as keyword arguments. A list among
    them holds one entry per sample, of any shape, such as the boxes of each image. Arrays, such as
    NumPy's, become tensors, and so does a list of numbers as targets.

    Raises ForetellError for inputs without a tensor.

    >>> batch = Batch(torch.zeros(4, 3), torch.zeros(4, dtype=torch.long))
    >>> len(batch), len(batch[:2])
    (4, 2)
    """

    inputs: Inputs
    targets: Any = None

    def __post_init__(self) -> None:
        if not isinstance(self.inputs, Tensor):
            keep(self, "inputs", as_inputs)
        if not isinstance(self.targets, Tensor | None):
            keep(self, "targets", as_targets)

    def __repr__(self) -> str:
        """
        >>> Batch({"image": torch.zeros(4, 3)}, torch.zeros(4, dtype=torch.long))
        Batch(inputs={'image': float32 [4, 3]}, targets=int64 [4])
        """
        return f"Batch(inputs={outlined(self.inputs)}, targets={outlined(self.targets)})"

    def __len__(self) -> int:
        return len(next(columns(self.inputs)))

    def __getitem__(self, rows: slice) -> "Batch":
        return Batch(in_rows(self.inputs, rows), in_rows(self.targets, rows, len(self)))

    def each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        """The batch with a function applied to every tensor."""
        return Batch(
            cast(Inputs, change_all(self.inputs, change)), change_all(self.targets, change)
        )

    def each_shared(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        """The batch with a function applied to the input tensors, but not to lists of samples."""
        return Batch(cast(Inputs, change_columns(self.inputs, change)), self.targets)

    @property
    def shared(self) -> list[Tensor]:
        """The input tensors that hold all samples along their first dimension."""
        return [part for part in columns(self.inputs) if isinstance(part, Tensor)]

    def feed(self, model: Callable[..., Any]) -> Any:
        """The outputs of the model for these inputs."""
        if isinstance(self.inputs, Tensor | list):
            return model(self.inputs)
        if isinstance(self.inputs, tuple):
            return model(*self.inputs)
        if len(self.inputs) == 1 and not accepts(model, *self.inputs):
            return model(*self.inputs.values())
        return model(**self.inputs)

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits that differ when any value, shape or type of the batch differs.

        >>> Batch(torch.zeros(2, 3)).fingerprint == Batch(torch.zeros(3, 2)).fingerprint
        False
        """
        digest = hashlib.sha256()
        for tensor in (*tensors(self.inputs), *tensors(self.targets)):
            digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(
                tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data
            )
        return digest.hexdigest()[:16]


Given = Batch | Sequence[Any] | Mapping[str, Any] | DataLoader[Any] | Dataset[Any]
"""The types that `as_batch` accepts in place of a batch."""


def accepts(model: Callable[..., Any], name: str) -> bool:
    """Whether the model accepts a keyword argument of this name.

    >>> accepts(nn.Linear(2, 2), "input"), accepts(nn.Linear(2, 2), "pixel_values")
    (True, False)
    """
    parameters = signature(getattr(model, "forward", model)).parameters
    return name in parameters or any(p.kind == p.VAR_KEYWORD for p in parameters.values())


def outlined(value: Any) -> str:
    """One line for inputs or targets, with the types and shapes of tensors instead of numbers."""
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key!r}: {outlined(item)}' for key, item in value.items())}}}"
    if isinstance(value, tuple):
        return f"({', '.join(map(outlined, value))})"
    return f"a list of {len(value)}" if isinstance(value, list) else shown(value)


@runtime_checkable
class HasArray(Protocol):
    """An object that NumPy can convert to an array."""

    def __array__(self) -> Any: ...


def is_array(value: object) -> bool:
    """Whether NumPy can convert the value to an array."""
    return isinstance(value, HasArray)


def as_inputs(name: str, value: object) -> Inputs:
    """The inputs with arrays converted to tensors. Raises ForetellError if there is no tensor."""
    found = change_all(value, partial(as_tensor, name), HasArray)
    if not tensors(found):
        step = "; make one: torch.tensor(inputs)" if isinstance(value, list) and value else ""
        step = f"; {OF_TEXT}" if isinstance(value, Mapping) and value else of_graph(value) or step
        raise ForetellError(
            f"{name} is {shown(value)} without a tensor; expected a tensor, or a tuple or dict of "
            f"tensors{step}"
        )
    return cast(Inputs, found)


OF_TEXT = (
    "turn text into token ids and lists into tensors first (of Hugging Face data: "
    'dataset.set_format("torch"))'
)
"""What to do with the columns of a table that are no tensors."""


def of_graph(value: object) -> str:
    """The end of an error message about the graphs of PyTorch Geometric; empty for others."""
    if not hasattr(value, "edge_index"):
        return ""
    return (
        "; give the features and targets of its nodes, (data.x, data.y), and let the module hold "
        "data.edge_index as a buffer"
    )


def as_targets(name: str, value: object) -> Any:
    """The targets with arrays, and a list of numbers, converted to tensors."""
    if isinstance(value, list) and value and all(isinstance(one, Real) for one in value):
        return torch.tensor(value)
    return change_all(value, partial(as_tensor, name), HasArray)


def as_tensor(name: str, value: HasArray) -> Tensor:
    """A copy of an array as a tensor. Raises ForetellError if the array is not numeric."""
    if isinstance(value, Tensor):
        return value
    try:
        array = np.array(value, order="C")
        return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), copy=False))
    except any_error() as error:
        kind = getattr(value, "dtype", "other values")
        raise ForetellError(
            f"{name} holds {shown(value)} of {kind}; expected numbers, as a tensor or an array"
        ) from error


def change_all(value: Any, change: Callable[[Any], Any], of: type = Tensor) -> Any:
    """Apply a function to each tensor in a structure of tuples, lists and dicts."""
    if isinstance(value, of):
        return change(value)
    if isinstance(value, Mapping):
        return {key: change_all(item, change, of) for key, item in value.items()}
    if isinstance(value, tuple | list):
        items = [change_all(item, change, of) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return value


def change_columns(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Apply a function to each tensor of the inputs that is not in a list."""
    if isinstance(value, list):
        return value
    if isinstance(value, tuple):
        items = [change_columns(item, change) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    if isinstance(value, Mapping):
        return {key: change_columns(item, change) for key, item in value.items()}
    return change_all(value, change)


def columns(value: Any) -> Iterator[Any]:
    """The tensors and lists among the inputs, each of which runs over the samples."""
    if isinstance(value, Tensor | list):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from columns(item)
    elif isinstance(value, tuple):
        for item in value:
            yield from columns(item)


def in_rows(value: Any, rows: slice | list[int], samples: int | None = None) -> Any:
    """Some samples of inputs or, if the number of samples is given, of targets.

    A list of targets has one entry per sample, unless it holds tensors of all samples.
    """
    if isinstance(value, list) and not whole_tensors(value, samples):
        return value[rows] if isinstance(rows, slice) else [value[n] for n in rows]
    if isinstance(value, Tensor):
        return value[rows]
    if isinstance(value, Mapping):
        return {key: in_rows(item, rows, samples) for key, item in value.items()}
    if isinstance(value, tuple | list):
        items = [in_rows(item, rows, samples) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return value


def whole_tensors(items: list[Any], samples: int | None) -> bool:
    """Whether all items are tensors whose first dimension has this number of samples."""
    return samples is not None and all(
        isinstance(item, Tensor) and item.ndim > 0 and len(item) == samples for item in items
    )


def tensors(value: Any) -> list[Tensor]:
    """All tensors in a structure of tuples, lists and dicts, in order."""
    found: list[Tensor] = []
    _collect(value, found)
    return found


def _collect(value: Any, found: list[Tensor]) -> None:
    """Append all tensors in a structure, in order."""
    if isinstance(value, Tensor):
        found.append(value)
        return
    if isinstance(value, tuple | list):
        items: Iterable[Any] = value
    elif isinstance(value, dict) or (type(value) not in ATOMS and isinstance(value, Mapping)):
        items = value.values()
    else:
        return
    for item in items:
        if type(item) not in ATOMS:
            _collect(item, found)


ATOMS = {int, float, bool, str, type(None)}
"""Types that contain no tensors; checking with `isinstance` that they are not a Mapping is slow."""


OF_ROWS = (
    "join them to tensors first, one for each column, and give the dict of these, for example by "
    "torch.utils.data.default_collate or the DataCollatorWithPadding of transformers"
)
"""What to do with rows of a table."""


def check_strided(given: list[Tensor]) -> None:
    """Raise ForetellError if a tensor is sparse, or a part of one on several devices."""
    for part in given:
        if hasattr(part, "full_tensor"):
            raise ForetellError(
                "an input is a DTensor, of which each process holds a part; give the whole one "
                "(x.full_tensor())"
            )
        if part.layout is not torch.strided:
            kind = str(part.layout).removeprefix("torch.")
            raise ForetellError(
                f"an input is a sparse tensor ({kind}), whose samples cannot be told apart; give "
                "a dense one (x.to_dense()), or let the model convert it"
            )


def as_batch(batch: Given, *, own_loss: bool = False) -> Batch:
    """Convert anything that describes a batch to a `Batch`, and check it.

    Accepted are a `Batch`, a pair (inputs, targets), a dict whose targets are called "labels" or
    similar, a DataLoader (its first batch), and a Dataset (its first 64 samples). For a model that
    returns its own loss, the targets of a dict remain among the inputs.

    Raises ForetellError for an empty batch, differing numbers of samples, NaN or infinity.

    >>> as_batch((torch.zeros(0, 3), torch.zeros(0)))
    Traceback (most recent call last):
    foretell.errors.ForetellError: the batch is empty; give at least one sample
    """
    if isinstance(batch, Dataset):
        batch = DataLoader(batch, SAMPLES)
    if isinstance(batch, DataLoader):
        return as_batch(first_of(batch), own_loss=own_loss)
    if isinstance(batch, Mapping) and (tensors(batch) or any(map(is_array, batch.values()))):
        batch = Batch(dict(batch)) if own_loss else from_dict(batch)
    if not isinstance(batch, Batch):
        if isinstance(batch, list) and all(isinstance(row, Mapping) for row in batch):
            raise ForetellError(f"batch is a list of {len(batch)} rows; {OF_ROWS}")
        if isinstance(batch, tuple | list) and len(batch) != 2:
            raise ForetellError(
                f"batch has {len(batch)} entries; expected a pair (inputs, targets), in which "
                "several inputs are a tuple: ((first, second), targets)"
            )
        if not isinstance(batch, tuple | list):
            raise wrong("batch", batch, f"a pair (inputs, targets) or a Batch{way_to(batch)}")
        batch = Batch(*batch)
    parts, every = list(columns(batch.inputs)), tensors(batch.inputs)
    if any(part.is_nested for part in every):
        raise ForetellError(
            "an input is a nested tensor; give a padded one (torch.nested.to_padded_tensor), and a "
            "mask as a further input if the model needs one"
        )
    check_strided(every)
    if any(isinstance(part, Tensor) and part.ndim == 0 for part in parts):
        raise ForetellError(
            f"an input is a scalar; its first dimension must run over the samples; {SAMPLELESS}"
        )
    if len(parts[0]) == 0:
        raise ForetellError("the batch is empty; give at least one sample")
    if len(sizes := {len(part) for part in parts}) > 1:
        raise ForetellError(
            f"the inputs have different numbers of samples: {sorted(sizes)}; {SAMPLELESS}"
        )
    check_targets(batch)
    for part in every:
        check_finite(part)
    return batch


SAMPLES = 64
"""The number of samples that are taken from a Dataset."""

TARGETS = ("labels", "label", "targets", "target")
"""The keys of a dict that are recognised as targets."""


def first_of(loader: DataLoader[Any]) -> Any:
    """The first batch of a loader; the global generator is left as it was. Raises ForetellError."""
    try:
        with torch.random.fork_rng(devices=[]):
            return next(iter(loader))
    except StopIteration:
        raise ForetellError("the DataLoader yields no batch; give one with samples") from None
    except any_error() as error:
        raise ForetellError(f"the DataLoader raised {complaint_of(error)}") from error


def from_dict(batch: Mapping[str, Any]) -> Batch:
    """The batch described by a dict, one entry of which may hold the targets.

    >>> from_dict({"pixel_values": torch.zeros(2, 3), "labels": torch.zeros(2)})
    Batch(inputs={'pixel_values': float32 [2, 3]}, targets=float32 [2])
    """
    name = next((name for name in TARGETS if name in batch), None)
    inputs = {key: value for key, value in batch.items() if key != name}
    return Batch(inputs, None if name is None else batch[name])


def way_to(batch: object) -> str:
    """The end of an error message: how to turn the wrong value into a batch."""
    if isinstance(batch, str):
        return ", such as Batch(*minibatch(load_data(name).train, 64, seed=0))"
    if isinstance(batch, Mapping):
        return ", or a dict of tensors"
    if hasattr(batch, "train"):
        return ", such as Batch(*minibatch(data.train, 64, seed=0))"
    if graph := of_graph(batch):
        return graph
    if isinstance(batch, Iterable) and not isinstance(batch, HasArray):
        return ", such as first_batch(loader, 64)"
    return ""


SAMPLELESS = (
    "repeat an input without samples (a mask, a graph, a time step) for each sample, or store it "
    "in the model as a buffer or a default argument"
)
"""The advice for an input that is the same for all samples."""


def check_targets(batch: Batch) -> None:
    """Raise ForetellError unless there are as many targets as inputs."""
    targets, samples, inputs = batch.targets, len(batch), batch.inputs
    if not isinstance(targets, Tensor) or not targets.ndim or len(targets) == samples:
        return
    if isinstance(batch.inputs, list) and whole_tensors(batch.inputs, len(targets)):
        raise ForetellError(
            f"the inputs are a list of {samples} for {len(targets)} targets, and a list holds one "
            "entry per sample; use a tuple for tensors of all samples, each a positional argument "
            "(wrap a model that expects a list)"
        )
    if any(isinstance(one, list) and whole_tensors(one, len(targets)) for one in columns(inputs)):
        raise ForetellError(
            f"an input is a list of tensors of {len(targets)} samples each, which a DataLoader "
            f"makes of lists; {OF_TEXT}"
        )
    raise ForetellError(
        f"the batch has {samples} inputs but {len(targets)} targets; expected one target per input"
    )


def check_finite(part: Tensor) -> None:
    """Raise ForetellError if an input contains NaN or infinity."""
    if not part.is_floating_point() or part.isfinite().all():
        return
    masks = bool((part[~part.isfinite()] == -torch.inf).all())
    mask = "; store a mask that is the same for all samples in the model, as a buffer"
    raise ForetellError(
        f"the inputs have {int((~part.isfinite()).sum())} values that are NaN or infinite; "
        f"remove or replace them{mask if masks else ''}"
    )


def main_output(outputs: Any) -> Tensor:
    """The main tensor of the outputs: a tensor itself, the first of a tuple, or `logits` of a dict.

    Raises Undefined if there is none.

    >>> main_output({"features": torch.zeros(2, 9), "logits": torch.ones(2, 3)}).shape
    torch.Size([2, 3])
    """
    if isinstance(outputs, Tensor):
        return outputs
    if isinstance(outputs, list) and any(isinstance(one, Mapping) for one in outputs):
        raise Undefined(
            "the model returns a dict for each sample (detections?), not a tensor; to use its "
            "loss, pass the targets as inputs and choose loss='own'"
        )
    if isinstance(outputs, Mapping):
        for name in ("logits", "out"):
            if isinstance(outputs.get(name), Tensor):
                return cast(Tensor, outputs[name])
    for tensor in tensors(outputs):
        if tensor.is_floating_point():
            return tensor
    raise Undefined(
        f"the model returned a {type(outputs).__name__} without a floating-point tensor; "
        "wrap it in a module that returns logits"
    )


def check_module(model: object, name: str = "model") -> nn.Module:
    """Return the model, or raise ForetellError if it is not a `torch.nn.Module`."""
    if isinstance(model, nn.Module):
        return model
    hint = ""
    if isinstance(model, str):
        hint = "; build it by its name: load_model(name, splits)"
    elif type(model).__name__ == "ExportedProgram":
        hint = "; pass the module from before torch.export"
    elif isinstance(model, type):
        hint = "; call the class to create one"
    elif callable(model):
        hint = "; call the function to create one"
    elif isinstance(model, Mapping):
        hint = "; load weights into a module with load_state_dict"
    raise ForetellError(f"{name} is {shown(model)}; expected a torch.nn.Module{hint}")
