"""Detect operations that no observer saw by their nodes in the autograd graph.

An operation that observers cannot see (in a torch.autograd.Function, a scripted or compiled part, a
C++ extension, a hook, or an inner torch.autograd.grad) still adds nodes to the graph. Observers
mark the nodes of each operation that they see, so nodes without a mark belong to operations that
they did not see.

    >>> x, mark = torch.ones(2, requires_grad=True), object()
    >>> seen, hidden = x * 2, x.exp()
    >>> inside([seen], Given([x]), mark).nodes
    1
    >>> unmarked([seen], mark), unmarked([seen + hidden], mark).name()
    (None, 'AddBackward0')
"""

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from foretell.engine.faster.batch_norm import made_here

__all__ = [
    "Given",
    "Inside",
    "inside",
    "is_foreign",
    "is_leaf",
    "is_marked",
    "nearest",
    "nodes_of",
    "number_of",
    "one_of_each",
    "unmarked",
]


class Given:
    """The argument tensors of an operation, and their graph nodes before it runs."""

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        self.tensors = {id(tensor): tensor for tensor in tensors}
        self.nodes = {tensor.grad_fn for tensor in self.tensors.values()}

    def include_bases(self) -> None:
        """Include the bases of views, since writing to a view also writes to its base."""
        bases = [t._base for t in self.tensors.values() if t._base is not None]
        self.tensors |= {id(base): base for base in bases}
        self.nodes |= {base.grad_fn for base in bases}


@dataclass
class Inside:
    """The nodes that an operation has added to the graph between its arguments and its results."""

    nodes: int = 0
    stray: bool = False
    """Whether a result depends on a value that is not among the arguments."""
    chained: bool = False
    """Whether one result depends on another."""
    foreign: bool = False
    """Whether the derivative is computed by code outside torch."""


def inside(outs: Iterable[Tensor], given: Given, mark: object) -> Inside:
    """Mark the nodes between the arguments and the results of an operation, and describe them."""
    found = Inside()
    new = (out.grad_fn for out in outs)
    roots = {node for node in new if node is not None and node not in given.nodes}
    waiting: list[Any] = list(roots)
    here = set(waiting)
    while waiting:
        node = waiting.pop()
        if is_leaf(node):
            found.stray |= id(node.variable) not in given.tensors
            continue
        known = node.metadata
        if mark in known:  # a node of an earlier operation that no argument depends on
            found.stray = True
            continue
        known[mark] = True
        found.nodes += 1
        found.foreign |= is_foreign(node)
        for child, _ in node.next_functions:
            if child is not None and child not in given.nodes:
                found.chained |= child in roots
                if child not in here:
                    here.add(child)
                    waiting.append(child)
    return found


def nodes_of(tensors: Iterable[Tensor]) -> Iterator[Any]:
    """All nodes of the graph that these tensors depend on, including leaves."""
    waiting = [tensor.grad_fn for tensor in tensors if tensor.grad_fn is not None]
    here = set(waiting)
    while waiting:
        node = waiting.pop()
        yield node
        for child, _ in node.next_functions:
            if child is not None and child not in here:
                here.add(child)
                waiting.append(child)


def one_of_each(tensors: Iterable[Tensor]) -> list[Any]:
    """One node of each type in the graph of these tensors."""
    return list({type(node): node for node in nodes_of(tensors)}.values())


def nearest(results: Iterable[Tensor], nodes: Container[Any], oldest: int = 0) -> set[Any]:
    """Those of `nodes` on which the results depend directly, not through another of them.

    Nodes that were created before the one with the number `oldest` are not visited.

    >>> x = torch.ones(2, requires_grad=True)
    >>> y = x.exp()
    >>> z = y * 2
    >>> nodes = {y.grad_fn, z.grad_fn}
    >>> nearest([z + 1], nodes) == {z.grad_fn}, nearest([x * 2], nodes)
    (True, set())
    """
    found: set[Any] = set()
    waiting = [result.grad_fn for result in results if result.grad_fn is not None]
    here = set(waiting)
    while waiting:
        node = waiting.pop()
        if node in nodes:
            found.add(node)
            continue
        for child, _ in node.next_functions:
            if child is not None and child not in here and number_of(child) >= oldest:
                here.add(child)
                waiting.append(child)
    return found


def number_of(node: Any) -> int:
    """The position of a node in the order of creation; that of a leaf is very large."""
    number: int = node._sequence_nr()
    return number


def unmarked(tensors: Iterable[Tensor], mark: object) -> Any:
    """A node without this mark that the tensors depend on; None if there is none."""
    return next((n for n in nodes_of(tensors) if not is_leaf(n) and not is_marked(n, mark)), None)


def is_marked(node: Any, mark: object) -> bool:
    """Whether a node has the mark."""
    return mark in node.metadata


def is_leaf(node: Any) -> bool:
    """Whether a node accumulates the gradient of a leaf, which is its `variable`."""
    return type(node) is LEAF


def is_foreign(node: Any) -> bool:
    """Whether the derivative of a node is code of the user or of a compiler.

    >>> is_foreign(torch.ones(1, requires_grad=True).exp().grad_fn)
    False
    """
    if isinstance(node, torch._C._FunctionBase):
        return not made_here(node)
    return type(node).__name__ == "CppFunction"  # torch's own C++ nodes have other types


LEAF = type(torch.ones(1, requires_grad=True).view(1).grad_fn.next_functions[0][0])  # type: ignore[union-attr]
