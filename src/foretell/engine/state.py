"""Save and restore the state of a model: its tensors, its attributes, and all that they refer to.

A forward pass may write to any object: weights that it renormalises, a counter, a memory in a
deque, the closure of a hook. The state of every object that can be reached from the modules is
saved before the model is run, and changes are undone in place, so that objects keep their identity.
"""

import sys
import threading
from argparse import Namespace
from array import array
from collections import ChainMap, OrderedDict, UserDict, UserList, deque
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from io import BytesIO, StringIO
from operator import is_
from queue import Queue
from random import Random
from types import CellType, FunctionType, MethodType, SimpleNamespace
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary, WeakSet, WeakValueDictionary

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from foretell.engine.modules import modules_of
from foretell.user_source import is_foretells, is_installed, names_in

__all__ = ["State"]

Restore = Callable[[], None]
"""A function that restores one object if it has changed."""


class Items(NamedTuple):
    """A dict, and the keys and values that it had when it was saved."""

    container: dict[Any, Any]
    keys: list[Any]
    values: list[Any]


Change = Restore | Items
"""The change that restores an object: a function, or the items of a dict."""


class State:
    """The state of a model, as it was when `kept` was first used."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._noted = False
        self._empty: list[Any] = []
        """Empty containers, by far the most common, which are checked together."""
        self._items: list[Items] = []
        self._restores: list[Restore] = []
        self._contents: dict[int, tuple[Tensor, Tensor]] = {}

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Run the model within the block; afterwards, everything that it holds is restored."""
        if not self._noted:
            with torch._C.DisableTorchFunction():
                self._note()
        try:
            yield
        finally:
            with torch._C.DisableTorchFunction():
                for container in filter(None, self._empty):
                    container.clear()
                for items in filter(changed, self._items):
                    put_back_dict(items)
                for restore in self._restores:
                    restore()

    def _note(self) -> None:
        """Save the state of everything that the model holds."""
        for change in self._reached():
            if isinstance(change, Items):
                self._items.append(change)
            else:
                self._restores.append(change)
        self._noted = True

    def wrote_to(self, tensor: Tensor) -> bool:
        """Whether the values of one of the model's tensors have changed since they were saved."""
        known = self._contents.get(id(tensor))
        return known is not None and not same_bits(tensor.detach(), known[1])

    def tensors(self) -> set[int]:
        """The ids of all of the model's tensors."""
        return set(self._contents)

    def _reached(self) -> Iterator[Change]:
        """The saved states of all objects that can be reached from the model."""
        modules = modules_of(self._model)
        waiting: list[Any] = [*modules, *own_classes(modules)]
        for module in modules:
            if isinstance(module, torch.jit.ScriptModule):  # its tensors are not in attributes
                waiting += [*module.parameters(), *module.buffers()]
        seen: dict[int, Any] = {}  # keeps the objects alive, so that their ids are not reused
        while waiting:
            thing = waiting.pop()
            if id(thing) in seen:
                continue
            kind: Any = type(thing)
            seen[id(thing)] = thing
            if isinstance(thing, Tensor):
                if (content := copied(thing)) is not None:
                    self._contents[id(thing)] = (thing, content)
                yield from noted_tensor(thing, content)
                grad = thing.grad if thing.is_leaf else None
                waiting += self._without_atoms([grad, *parts_of(thing)])
            elif isinstance(thing, type):
                yield partial(put_back_class, thing, dict(vars(thing)))
                waiting += self._without_atoms(vars(thing).values())
                continue
            for note in notes_of(kind):
                change, parts = note(thing)
                waiting += self._without_atoms(parts)
                if change is not None:
                    yield change

    def _without_atoms(self, things: Iterable[Any]) -> list[Any]:
        """Those of the objects that have a state; empty containers are put aside."""
        found = []
        for thing in things:
            kind: Any = type(thing)
            if kind in CLEARED and not thing:
                self._empty.append(thing)
            elif kind not in ATOMS:
                found.append(thing)
        return found


ATOMS = {type(None), bool, int, float, complex, str, bytes, range, slice, type(Ellipsis)}
ATOMS |= {torch.dtype, torch.device, torch.Size, torch.layout, torch.memory_format}
"""Types of immutable objects without references."""

CLEARED = {dict, OrderedDict, list, set}
"""Containers whose `clear` empties them; a subclass may override it."""


Noted = tuple[Change | None, Iterable[Any]]
"""The change that restores an object, if it can change, and the objects that it refers to."""

NOTHING: Noted = (None, ())


@lru_cache(maxsize=1024)
def notes_of(kind: type) -> tuple[Callable[[Any], Noted], ...]:
    """The functions that save the state of an instance of this class, in order."""
    content = next((note for known, note in NOTES.items() if issubclass(kind, known)), None)
    applicable = {
        content: content is not None,
        attributes: has_attributes(kind),
        slots: has_attributes(kind) and bool(slots_of(kind)),
        behind: issubclass(kind, FunctionType | MethodType | partial),
    }
    return tuple(note for note, applies in applicable.items() if note and applies)


def noted_dict(thing: dict[Any, Any]) -> Noted:
    values = list(thing.values())
    return Items(thing, list(thing), values), values


def noted_sequence(thing: list[Any] | deque[Any]) -> Noted:
    held = list(thing)
    return partial(put_back_sequence, thing, held), held


def noted_set(thing: set[Any]) -> Noted:
    members = set(thing)
    return partial(put_back_set, thing, members), members


def noted_array(thing: "np.ndarray[Any, Any]") -> Noted:
    inside = thing.ravel().tolist() if thing.dtype.hasobject else ()
    return partial(put_back_array, thing, thing.copy()), inside


def noted_stream(thing: StringIO | BytesIO) -> Noted:
    return partial(thing.__setstate__, thing.__getstate__()), ()  # type: ignore[union-attr]


NOTES: dict[Any, Callable[[Any], Noted]] = {
    dict: noted_dict,
    (list, deque): noted_sequence,
    (array, bytearray): lambda thing: (partial(put_back_numbers, thing, thing[:]), ()),
    set: noted_set,
    (tuple, frozenset): lambda thing: (None, thing),
    np.ndarray: noted_array,
    torch.Generator: lambda thing: (partial(set_state, thing, thing.get_state()), ()),
    Random: lambda thing: (partial(thing.setstate, thing.getstate()), ()),
    np.random.RandomState: lambda thing: (partial(thing.set_state, thing.get_state()), ()),
    np.random.Generator: lambda thing: (None, [thing.bit_generator]),
    np.random.BitGenerator: lambda thing: (partial(setattr, thing, "state", thing.state), ()),
    (StringIO, BytesIO): noted_stream,
}
"""The functions that save the content of an object, by its type."""


def set_state(generator: torch.Generator, state: Tensor) -> None:
    """Restore one of torch's generators."""
    generator.set_state(state)


def attributes(thing: Any) -> Noted:
    """Save the attributes of a module, of a user's object, or of a plain namespace."""
    return noted_dict(getattr(thing, "__dict__", {}))


def slots(thing: Any) -> Noted:
    """Save the attributes of such an object that are in slots instead of its `__dict__`."""
    names = slots_of(type(thing))  # type: ignore[arg-type]
    held = {name: getattr(thing, name) for name in names if hasattr(thing, name)}
    return partial(put_back_slots, thing, held), held.values()


def behind(thing: Any) -> Noted:
    """Save the objects that a function can write to: its closure, defaults, and bound object."""
    if isinstance(thing, FunctionType) and not is_library(thing.__module__):
        cells = [(cell, cell.cell_contents) for cell in thing.__closure__ or () if filled(cell)]
        held = [value for _, value in cells]
        defaults = (thing.__defaults__, thing.__kwdefaults__, thing.__dict__)
        named = named_globals(thing)
        change = partial(put_back_variables, cells, thing.__globals__, named)
        own = [value for value in named.values() if is_near(value, thing)]
        return change, [*held, *defaults, *own]
    if isinstance(thing, MethodType):
        return None, (thing.__self__, thing.__func__)
    if isinstance(thing, partial):
        return None, (thing.func, thing.args, thing.keywords)
    return NOTHING


def named_globals(function: FunctionType) -> dict[str, Any]:
    """The global variables that a function of the user's mentions; none of an installed package."""
    if is_installed(function) or is_foretells(function):
        return {}
    known = function.__globals__
    return {name: known[name] for name in names_in(function.__code__) if name in known}


def is_near(value: Any, function: FunctionType) -> bool:
    """Whether a global variable is state: a container, or a function or class of the same file."""
    if isinstance(value, FunctionType | type):
        return value.__module__ == function.__module__
    return isinstance(value, dict | list | set | deque | Tensor)


def filled(cell: CellType) -> bool:
    """Whether a variable of a closure has a value."""
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def own_classes(modules: Iterable[nn.Module]) -> list[type]:
    """The user-defined classes of the modules, whose attributes all instances share."""
    kinds = {kind for module in modules for kind in type(module).__mro__}
    return [kind for kind in kinds if not is_library(kind.__module__)]


def is_library(module: str | None) -> bool:
    """Whether a module belongs to Python, torch or numpy."""
    top = (module or "builtins").partition(".")[0]
    return top in sys.stdlib_module_names or top in ("torch", "numpy")


PLAIN = (
    *(nn.Module, Optimizer, SimpleNamespace, Namespace, UserDict, UserList, ChainMap, Tensor),
    *(Queue, threading.local, WeakKeyDictionary, WeakValueDictionary, WeakSet),
)

HOLDERS = ("torch.nn.", "torch.distributions.", "torch.optim.", "torch.quasirandom", "torch.amp.")
"""Modules of torch whose objects hold tensors and counters of a model."""


@lru_cache(maxsize=1024)
def has_attributes(kind: type) -> bool:
    """Whether the attributes of such objects are state of the model and not of a library."""
    if issubclass(kind, PLAIN):
        return True
    if issubclass(kind, type | FunctionType | MethodType):
        return False
    return kind.__module__.startswith(HOLDERS) or not is_library(kind.__module__)


@lru_cache(maxsize=1024)
def slots_of(kind: type) -> tuple[str, ...]:
    """The names of the slots of such objects, except `__dict__` and `__weakref__`."""
    names: list[str] = []
    for one in kind.__mro__:
        if not is_library(one.__module__):
            slots = one.__dict__.get("__slots__", ())
            names += (slots,) if isinstance(slots, str) else slots
    return tuple(name for name in names if name not in ("__dict__", "__weakref__"))


def same(now: Collection[Any], before: Collection[Any]) -> bool:
    """Whether two collections contain the identical objects in the same order."""
    return len(now) == len(before) and all(map(is_, now, before))


def changed(items: Items) -> bool:
    """Whether the items of a dict, or their order, have changed."""
    container, keys, values = items
    if len(container) != len(keys):
        return True
    return not (all(map(is_, container, keys)) and all(map(is_, container.values(), values)))


def put_back_dict(items: Items) -> None:
    """Restore the items of a dict and their order."""
    container, keys, values = items
    kind: Any = OrderedDict if isinstance(container, OrderedDict) else dict
    kind.clear(container)
    for key, value in zip(keys, values, strict=True):  # `update` would add in a Counter
        kind.__setitem__(container, key, value)


def put_back_sequence(container: list[Any] | deque[Any], held: list[Any]) -> None:
    """Restore the items of a list or a deque."""
    if not same(container, held):
        kind: Any = deque if isinstance(container, deque) else list
        kind.clear(container)
        kind.extend(container, held)


def put_back_numbers(container: Any, held: Any) -> None:
    """Restore the values of an array or a bytearray."""
    if container != held:
        container[:] = held


def put_back_set(container: set[Any], members: set[Any]) -> None:
    """Restore the members of a set, themselves and not only others that are equal."""
    if set(map(id, container)) != set(map(id, members)):
        set.clear(container)
        set.update(container, members)


def put_back_array(held: "np.ndarray[Any, Any]", before: "np.ndarray[Any, Any]") -> None:
    """Restore the values of a NumPy array."""
    if held.shape != before.shape:
        held.resize(before.shape, refcheck=False)
    if held.tobytes() != before.tobytes() and held.flags.writeable:
        held[...] = before


def put_back_slots(thing: Any, held: dict[str, Any]) -> None:
    """Restore the attributes of an object, bypassing its class's `__setattr__`."""
    for name in slots_of(type(thing)):  # type: ignore[arg-type]
        if name not in held and hasattr(thing, name):
            object.__delattr__(thing, name)
    for name, value in held.items():
        if getattr(thing, name, None) is not value:
            object.__setattr__(thing, name, value)


def put_back_class(kind: type, before: dict[str, Any]) -> None:
    """Restore the attributes of a class."""
    for name in [name for name in vars(kind) if name not in before]:
        type.__delattr__(kind, name)
    for name, value in before.items():
        if vars(kind).get(name) is not value:
            type.__setattr__(kind, name, value)


def put_back_variables(
    cells: list[tuple[CellType, Any]], known: dict[str, Any], named: dict[str, Any]
) -> None:
    """Restore the variables of a closure, and global ones."""
    for cell, value in cells:
        if not filled(cell) or cell.cell_contents is not value:
            cell.cell_contents = value
    for name, value in named.items():
        if known.get(name) is not value:
            known[name] = value


def parts_of(tensor: Tensor) -> tuple[Tensor, ...]:
    """The dense tensors of a sparse one, which share its memory."""
    if tensor.layout == torch.sparse_coo:
        return tensor._indices(), tensor._values()
    if tensor.layout in (torch.sparse_csr, torch.sparse_bsr):
        return tensor.crow_indices(), tensor.col_indices(), tensor.values()
    if tensor.layout in (torch.sparse_csc, torch.sparse_bsc):
        return tensor.ccol_indices(), tensor.row_indices(), tensor.values()
    return ()


def copied(tensor: Tensor) -> Tensor | None:
    """A copy of the values of a tensor; None if it has no values, or is not strided."""
    if nn.parameter.is_lazy(tensor) or tensor.is_meta or tensor.is_quantized:
        return None
    if tensor.layout != torch.strided:
        return None
    return tensor.detach().clone()


def noted_tensor(tensor: Tensor, content: Tensor | None) -> Iterator[Restore]:
    """The changes that restore memory, values, gradient, hooks and `requires_grad` of a tensor."""
    if content is not None:
        count = None if tensor.is_inference() else preserved_version(tensor)
        memory = tensor.detach()
        bits = as_bits(memory), as_bits(content)
        yield partial(put_back_values, tensor, memory, content, bits, count)
    if tensor.is_leaf:
        yield partial(put_back_gradient, tensor, tensor.grad, tensor.requires_grad)
    for place in ("_backward_hooks", "_post_accumulate_grad_hooks"):
        yield partial(put_back_hooks, tensor, place, dict(getattr(tensor, place, None) or {}))


def preserved_version(tensor: Tensor) -> Any:
    """An object whose `__exit__` restores the current version counter of a tensor."""
    return torch.autograd.grad_mode._unsafe_preserve_version_counter(tensor)


def put_back_values(
    tensor: Tensor, memory: Tensor, content: Tensor, bits: tuple[Tensor, Tensor], count: Any
) -> None:
    """Restore the memory of a tensor, its values, and its version counter."""
    if tensor.data_ptr() != memory.data_ptr() or tensor.shape != memory.shape:
        tensor.data = memory
    if not torch.equal(*bits):
        with torch.inference_mode(memory.is_inference()), torch.no_grad():
            once(memory.data, memory).copy_(once(content, memory))
    if count is not None:
        count.__exit__()


def put_back_gradient(tensor: Tensor, grad: Tensor | None, requires_grad: bool) -> None:
    """Restore the gradient of a leaf, and its `requires_grad`."""
    if tensor.requires_grad != requires_grad and tensor.is_leaf:
        tensor.requires_grad_(requires_grad)
    if tensor.grad is not grad:
        tensor.grad = grad


def put_back_hooks(tensor: Tensor, place: str, hooks: dict[int, Any]) -> None:
    """Restore the hooks of a tensor of one kind."""
    if now := getattr(tensor, place, None):
        put_back_dict(Items(now, list(hooks), list(hooks.values())))


def once(tensor: Tensor, memory: Tensor) -> Tensor:
    """The part of a tensor in which each number of an expanded one, `memory`, occurs once."""
    for axis in range(memory.ndim):
        if memory.stride(axis) == 0 and memory.shape[axis] > 1:
            tensor = tensor.narrow(axis, 0, 1)
    return tensor


INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def same_bits(first: Tensor, second: Tensor) -> bool:
    """Whether two tensors have the same values to the last bit, including NaN and −0.

    >>> same_bits(torch.tensor([torch.nan]), torch.tensor([torch.nan]))
    True
    >>> same_bits(torch.tensor([0.0]), torch.tensor([-0.0]))
    False
    """
    if first.shape != second.shape or first.dtype != second.dtype:
        return False
    return torch.equal(as_bits(first), as_bits(second))


def as_bits(tensor: Tensor) -> Tensor:
    """The tensor viewed as integers, so that NaN equals NaN and −0 differs from 0."""
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor)
    return tensor.view(INTEGERS[tensor.element_size()])
