"""Find the operations and parameters that the outputs of a model depend on.

Operations are observed below autograd, where every one is seen, whether it was called by a module,
a function of torch, or a scripted or custom function.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from foretell.batch import tensors

__all__ = ["Dataflow", "Used"]

aten = torch.ops.aten

ADDED = {aten.addmm, aten.addmv, aten.addbmm, aten.baddbmm, aten._sparse_addmm}
"""Operations that add a product to their first argument."""

ZEROING = {aten.mul, aten.mul_}

LOOKUPS = {aten.embedding, aten._embedding_bag, aten._embedding_bag_forward_only}
"""Operations that select rows of their first argument."""

CHOICES = {aten.index, aten.index_select, aten.gather}
"""Operations that are such a lookup only if their first argument is a table of parameters."""


@dataclass(eq=False)
class Node:
    """An operation, input or parameter of the model, and the nodes that it is computed from."""

    index: int
    """The position of the node in the order of computation."""
    sources: tuple["Node", ...] = ()
    flops: int = 0
    name: str = ""
    """The name of the parameter; empty for any other node."""
    fed: bool = False
    """Whether the node depends on an input of the model."""
    layer: bool = False
    """Whether the node combines a value that depends on an input with one of parameters only."""

    own: bool = False
    """Whether the node depends on a parameter but on no input."""


@dataclass(frozen=True)
class Used:
    """The parameters, FLOPs and layers that the outputs depend on."""

    parameters: frozenset[str]
    flops: int
    depth: int
    """The largest number of layers on a path from an input to an output."""


class Dataflow(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Within the block, record the tensors that each operation reads and writes.

    Tensors are identified by their memory, so writing to a part of a tensor counts as writing to
    all of it. A value that is multiplied by the number 0 depends on nothing.

    >>> x, w, unused = torch.ones(2, 3), torch.ones(3, 4), torch.ones(3, 5)
    >>> flow = Dataflow({"w": w, "unused": unused}, [x], {aten.mm: lambda *_, **__: 48})
    >>> with flow:
    ...     y, aside = (x @ w).relu(), x @ unused
    >>> flow.used_by([y])
    Used(parameters=frozenset({'w'}), flops=48, depth=1)
    """

    def __init__(
        self, parameters: Mapping[str, Tensor], inputs: Iterable[Tensor], flops: Mapping[Any, Any]
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._flops = flops
        self._count = 0
        self._held: list[Tensor] = []  # freed memory could be reused for another tensor
        self._last: dict[int, Node] = {}
        for name, parameter in parameters.items():
            self._write([parameter], Node(0, name=name, own=True))
        self._write(inputs, Node(0, fed=True))

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        given = tensors([args, kwargs])
        memory = {place(tensor) for tensor in given}
        written = [tensor for tensor in tensors(out) if place(tensor) not in memory]
        if func._schema.is_mutable:
            written += overwritten(func._schema, args, kwargs)
        if written:
            self._write(written, self._node(func, args, kwargs, given, out))
        return out

    def used_by(self, outputs: Iterable[Tensor]) -> Used:
        """The parameters, FLOPs and depth that the given outputs depend on."""
        found = reached(node for node in map(self._made_by, outputs) if node is not None)
        depth: dict[Node, int] = {}
        for node in found:
            before = max((depth[source] for source in node.sources), default=0)
            depth[node] = before + node.layer
        return Used(
            frozenset(node.name for node in found if node.name),
            sum(node.flops for node in found),
            max(depth.values(), default=0),
        )

    def _node(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], given: Any, out: Any
    ) -> Node:
        """The node of an operation."""
        packet = func._overloadpacket
        self._count += 1
        if is_constant(packet, args):
            return Node(self._count)
        sources = {node for tensor in given if (node := self._made_by(tensor)) is not None}
        fed = any(node.fed for node in sources)
        product = packet in self._flops
        return Node(
            self._count,
            tuple(sources),
            self._flops[packet](*args, **kwargs, out_val=out) if product else 0,
            fed=fed,
            own=not fed and any(node.own for node in sources),
            layer=((product or packet in LOOKUPS) and self._is_layer(factors(packet, args)))
            or (packet in CHOICES and self._is_table(*args)),
        )

    def _is_layer(self, given: Iterable[Any]) -> bool:
        """Whether one factor depends on an input, and another one on parameters only."""
        nodes = [self._made_by(t) for t in given if isinstance(t, Tensor)]
        made = [node for node in nodes if node is not None]
        return any(node.fed for node in made) and any(node.own for node in made)

    def _is_table(self, table: Tensor, *chosen: Any) -> bool:
        """Whether a table of parameters is indexed by values that depend on an input."""
        held, fed = self._made_by(table), map(self._made_by, tensors(chosen))
        return held is not None and held.own and any(node is not None and node.fed for node in fed)

    def _made_by(self, tensor: Tensor) -> Node | None:
        return self._last.get(place(tensor))

    def _write(self, tensors_: Iterable[Tensor], node: Node) -> None:
        for tensor in tensors_:
            self._held.append(tensor)
            self._last[place(tensor)] = node


def is_constant(packet: Any, args: tuple[Any, ...]) -> bool:
    """Whether the result depends only on the shapes of the arguments."""
    name = packet.__name__
    if name.startswith("new_") or name.endswith("_like"):
        return True
    return packet in ZEROING and isinstance(args[1], int | float) and args[1] == 0


def factors(packet: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The factors among the arguments of a product, without the terms that are added to it."""
    if packet in ADDED:
        return args[1:3]
    return args[:3] if packet is aten._trilinear else args[:2]


def place(tensor: Tensor) -> int:
    """An id that all views of a tensor share; a sparse tensor has an id of its own."""
    try:
        return int(tensor.untyped_storage()._cdata)
    except (NotImplementedError, RuntimeError):
        return id(tensor)


def overwritten(schema: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    """The arguments that an operation writes to."""
    given = dict(zip((argument.name for argument in schema.arguments), args, strict=False)) | kwargs
    names = [a.name for a in schema.arguments if a.alias_info is not None and a.alias_info.is_write]
    return tensors([given.get(name) for name in names])


def reached(ends: Iterable[Node]) -> list[Node]:
    """The nodes that these depend on, including themselves, in the order of computation."""
    waiting = list(ends)
    here = set(waiting)
    while waiting:
        new = [source for source in waiting.pop().sources if source not in here]
        here.update(new)
        waiting += new
    return sorted(here, key=lambda node: node.index)
