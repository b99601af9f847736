"""Find the repeated blocks of any model, and the features between them.

A *unit* is a module with submodules that is a child of the model or an entry of a list, which is an
`nn.Sequential` or `nn.ModuleList`. A list itself is not a unit, but its entries are; a Sequential
of single layers is one unit. If a unit contains lists in which several units are of the same kind
and have at least two weights each, and if these units run one after another, they replace the unit:
a stage is replaced by its blocks, but not a cell, which is a graph of operations. If a model wraps
a single module and has no blocks itself, the blocks of that module are used.

Among all units that ran, the longest sequence in which each output depends on the previous one is
selected. The *blocks* are its units from the first to the last whose kind occurs at least twice. A
single weight with its normalisation and activation counts as such a kind only if there is no other,
since stems and heads consist of them. The *boundaries* are the input of the first block, which is
the output of the stem, and the outputs of all blocks.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from foretell.batch import tensors
from foretell.engine.graph import nearest, number_of
from foretell.errors import Undefined

__all__ = ["NONE_FOUND", "BlockWatch", "Blocks", "Boundary", "Unit", "levels_of"]

NONE_FOUND = (
    "no repeated blocks found: no two modules of one kind, made of several layers, run one after "
    "another"
)
LISTS = (nn.Sequential, nn.ModuleList)
COLLECTIONS = (*LISTS, nn.ModuleDict)


@dataclass(frozen=True, eq=False)
class Unit:
    """A module that may be a block, and the units that replace it if they form a chain."""

    name: str
    module: nn.Module
    within: tuple["Unit", ...] = ()

    @property
    def kind(self) -> object:
        """The class of the module, or, for a plain list, the classes of its entries."""
        if type(self.module) in LISTS:
            return tuple(type(entry) for entry in self.module.children())
        return type(self.module)


def levels_of(model: nn.Module) -> list[list[Unit]]:
    """The units of a model, and, while it wraps a single module, those of that module.

    >>> block = lambda: nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    >>> found = levels_of(nn.Sequential(nn.Flatten(), block(), block()))
    >>> [[unit.name for unit in units] for units in found]
    [['1', '2']]
    """
    name, levels = "", []
    while not isinstance(model, LISTS):
        children = list(model.named_children())
        levels.append([unit for leaf, one in children for unit in expanded(below(name, leaf), one)])
        parts = [(leaf, child) for leaf, child in children if has_children(child)]
        if len(parts) != 1 or isinstance(parts[0][1], LISTS):
            return levels
        name, model = below(name, parts[0][0]), parts[0][1]
    return [*levels, list(expanded(name, model))]


def below(name: str, leaf: str) -> str:
    """The name of a child of a module."""
    return f"{name}.{leaf}" if name else leaf


def has_children(module: nn.Module) -> bool:
    """Whether a module has submodules; otherwise it is a single layer."""
    return any(True for _ in module.children())


def in_lists(name: str, module: nn.Module) -> Iterator[Unit]:
    """The units of the outermost lists within a module that contain blocks."""
    for leaf, child in module.named_children():
        if not isinstance(child, LISTS):
            yield from in_lists(below(name, leaf), child)
        elif are_blocks(units := list(expanded(below(name, leaf), child))):
            yield from units


def expanded(name: str, module: nn.Module) -> Iterator[Unit]:
    """The units of a list, or any other module as a unit; nothing for a single layer."""
    if not isinstance(module, LISTS):
        if has_children(module):
            yield Unit(name, module, tuple(in_lists(name, module)))
        return
    found = [
        unit
        for leaf, child in module.named_children()
        for unit in expanded(below(name, leaf), child)
    ]
    if not found and isinstance(module, nn.Sequential) and len(module):
        found = [Unit(name, module)]  # a list of layers is one unit
    yield from found


def are_blocks(units: list[Unit]) -> bool:
    """Whether several units are of the same kind and have at least two weights each."""
    heavy = [unit.kind for unit in units if weights_within(unit.module) > 1]
    return any(count > 1 for count in Counter(heavy).values())


def weights_within(module: nn.Module) -> int:
    """The number of parameters with more than one dimension."""
    return sum(parameter.ndim > 1 for parameter in module.parameters())


@dataclass(frozen=True, eq=False)
class Boundary:
    """The features between two blocks: one tensor, or one for each step of a list of steps."""

    tensors: tuple[Tensor, ...]

    @property
    def features(self) -> Tensor:
        """The features as one tensor, with steps along the second axis."""
        return self.tensors[0] if len(self.tensors) == 1 else torch.stack(self.tensors, 1)


@dataclass(frozen=True, eq=False)
class Call:
    """One run of a unit: its input and its output features."""

    unit: Unit
    given: Boundary
    out: Boundary


@dataclass(frozen=True, eq=False)
class Blocks:
    """The blocks in the order in which they ran, and the features before and after each."""

    units: list[Unit]
    boundaries: list[Boundary]

    @property
    def modules(self) -> list[nn.Module]:
        """The modules of the blocks."""
        return [unit.module for unit in self.units]


@dataclass
class BlockWatch:
    """Within the block, record the features before and after each unit of a model.

    The unit and the modules after it receive copies, so that they cannot write to the recorded
    features.
    """

    model: nn.Module
    _calls: dict[Unit, list[Call]] = field(default_factory=dict)
    _given: dict[Unit, list[Boundary | None]] = field(default_factory=dict)
    _order: list[Call] = field(default_factory=list)

    def __enter__(self) -> "BlockWatch":
        self._levels = levels_of(self.model)
        self._hooks = ExitStack()
        for unit in every(unit for units in self._levels for unit in units):
            self._watch(unit)
        return self

    def __exit__(self, *raised: Any) -> None:
        self._hooks.close()

    def _watch(self, unit: Unit) -> None:
        def before(_: nn.Module, args: Any, kwargs: Any) -> Any:
            for group in (args, kwargs):
                boundary, copied = copied_features(group)
                if boundary is not None:
                    self._given.setdefault(unit, []).append(boundary)
                    return (copied, kwargs) if group is args else (args, copied)
            self._given.setdefault(unit, []).append(None)
            return None

        def after(_: nn.Module, args: Any, out: Any) -> Any:
            given = self._given[unit].pop()
            boundary, copied = copied_features(out)
            if given is None or boundary is None:
                return None
            call = Call(unit, given, boundary)
            self._calls.setdefault(unit, []).append(call)
            self._order.append(call)
            return copied

        module = unit.module
        self._hooks.callback(module.register_forward_pre_hook(before, with_kwargs=True).remove)
        self._hooks.callback(module.register_forward_hook(after).remove)

    def blocks(self) -> Blocks:
        """The blocks and their boundaries. Raises Undefined if there are none."""
        for units in self._levels:
            chosen = {id(call) for unit in units for call in self._chosen(unit)}
            ran = [call for call in self._order if id(call) in chosen]
            if calls := of_repeated_kinds(longest_chain(ran)):
                boundaries = [calls[0].given, *(call.out for call in calls)]
                return Blocks([call.unit for call in calls], boundaries)
        raise Undefined(NONE_FOUND)

    def _chosen(self, unit: Unit) -> list[Call]:
        """The calls of a unit, or those of the units within it if they are a chain."""
        inner = [call for one in unit.within for call in self._chosen(one)]
        if len(inner) > 1:
            ordered = sorted(inner, key=self._order.index)
            if longest_chain(ordered) == ordered:
                return ordered
        return self._calls.get(unit, [])


def every(units: Iterable[Unit]) -> Iterator[Unit]:
    """Iterate over all units, including those within others."""
    for unit in units:
        yield unit
        yield from every(unit.within)


def copied_features(value: Any) -> tuple[Boundary | None, Any]:
    """The features among arguments or outputs, and the same structure with copies of them.

    The features are the first floating-point tensor, or a list of tensors of the same shape.
    """
    if isinstance(value, Tensor):
        return (Boundary((value,)), value.clone()) if value.is_floating_point() else (None, value)
    if isinstance(value, list) and is_steps(value):
        return Boundary(tuple(value)), [step.clone() for step in value]
    if isinstance(value, dict | tuple | list) and type(value) in (dict, tuple, list):
        keys: Any = value.keys() if isinstance(value, dict) else range(len(value))
        for key in keys:
            boundary, copied = copied_features(value[key])
            if boundary is not None:
                changed: Any = dict(value) if isinstance(value, dict) else list(value)
                changed[key] = copied
                return boundary, tuple(changed) if isinstance(value, tuple) else changed
        return None, value
    floating = [tensor for tensor in tensors(value) if tensor.is_floating_point()]
    return (Boundary((floating[0],)) if floating else None), value


def is_steps(value: list[Any]) -> bool:
    """Whether a list contains several floating-point tensors of the same shape."""
    return len(value) > 1 and all(
        isinstance(step, Tensor) and step.is_floating_point() and step.shape == value[0].shape
        for step in value
    )


def longest_chain(calls: list[Call]) -> list[Call]:
    """The longest sequence of calls in which each output depends on the previous one."""
    ends: dict[Any, int] = {}
    chains: list[list[Call]] = []
    for place, call in enumerate(calls):
        oldest = min(map(number_of, ends), default=0)
        before = {ends[node] for node in nearest(call.out.tensors, ends, oldest)}
        longest = max((chains[one] for one in sorted(before)), key=len, default=[])
        chains.append([*longest, call])
        ends |= {tensor.grad_fn: place for tensor in call.out.tensors if tensor.grad_fn is not None}
    return max(chains, key=len, default=[])


def of_repeated_kinds(chain: list[Call]) -> list[Call]:
    """The calls from the first to the last whose kind occurs at least twice; empty if none does."""
    kinds = Counter(call.unit.kind for call in chain)
    slight = {call.unit.kind for call in chain if is_slight(call.unit.module)}
    repeated = {kind for kind, count in kinds.items() if count > 1}
    chosen = repeated - slight or repeated
    places = [place for place, call in enumerate(chain) if call.unit.kind in chosen]
    return chain[places[0] : places[-1] + 1] if places else []


def is_slight(module: nn.Module) -> bool:
    """Whether a module consists of single layers, of which at most one has a weight."""
    return weights_within(module) < 2 and not any(
        has_children(child) or isinstance(child, COLLECTIONS) for child in module.children()
    )
