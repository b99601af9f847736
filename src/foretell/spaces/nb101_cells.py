"""The cells of NAS-Bench-101 as graphs: live edges, isomorphism and enumeration.

Ying et al. 2019, arXiv:1902.09635. Node 0 is the input of a cell, its last node the output, and
every node in between has an operation. Edges go from lower to higher nodes.
"""

import hashlib
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "MOST_EDGES",
    "MOST_NODES",
    "OPERATIONS",
    "Cell",
    "Edge",
    "all_cells",
    "all_edges",
    "fingerprint",
    "live_edges",
    "pruned",
    "smallest",
]

Edge: TypeAlias = tuple[int, int]
Masks: TypeAlias = NDArray[np.int64]

OPERATIONS = ("conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3")
MOST_NODES = 7
MOST_EDGES = 9


@dataclass(frozen=True)
class Cell:
    """A graph: the operations of its interior nodes, and its edges as (source, target), sorted."""

    operations: tuple[int, ...]
    edges: tuple[Edge, ...]

    @property
    def output(self) -> int:
        """The number of the last node."""
        return len(self.operations) + 1


def all_edges(output: int) -> tuple[Edge, ...]:
    """Every edge that a cell with last node `output` may have, row by row of its adjacency matrix.

    >>> all_edges(2)
    ((0, 1), (0, 2), (1, 2))
    """
    return tuple(itertools.combinations(range(output + 1), 2))


def live_edges(cell: Cell) -> tuple[Edge, ...]:
    """The edges that are on a path from input to output; empty if there is no such path.

    >>> live_edges(Cell((0, 0, 0), ((0, 1), (0, 2), (1, 4), (3, 4))))  # nodes 2 and 3 are dead
    ((0, 1), (1, 4))
    """
    fed, useful = {0}, {cell.output}
    for source, target in cell.edges:  # sorted by source: all edges into a node precede its own
        if source in fed:
            fed.add(target)
    for source, target in reversed(cell.edges):
        if target in useful:
            useful.add(source)
    return tuple((s, t) for s, t in cell.edges if s in fed and t in useful)


def pruned(cell: Cell) -> Cell:
    """The cell without the nodes that are not on a path from input to output, renumbered.

    >>> pruned(Cell((0, 1, 2), ((0, 1), (0, 3), (3, 4))))
    Cell(operations=(2,), edges=((0, 1), (1, 2)))
    """
    edges = live_edges(cell)
    nodes = sorted({0, cell.output} | {node for edge in edges for node in edge})
    number = {node: i for i, node in enumerate(nodes)}
    operations = tuple(cell.operations[node - 1] for node in nodes[1:-1])
    return Cell(operations, tuple((number[s], number[t]) for s, t in edges))


def fingerprint(cell: Cell) -> str:
    """The benchmark's hash of the pruned cell; equal if and only if cells are isomorphic.

    The hash of a node starts as the MD5 of its out-degree, in-degree and operation (-1 for the
    input, -2 for the output). As many times as there are nodes, every node is then hashed together
    with the sorted hashes of its neighbours. The hash of the cell is that of the sorted hashes of
    its nodes. In principle, different cells could have the same hash; among the 423,624 cells of
    this space, no two do.

    >>> fingerprint(Cell((), ((0, 1),)))
    '043721b9c7fe8c5fad811d47d83132ec'
    """
    cell = pruned(cell)
    nodes = range(cell.output + 1)
    sources = [[s for s, t in cell.edges if t == node] for node in nodes]
    targets = [[t for s, t in cell.edges if s == node] for node in nodes]
    labels = (-1, *cell.operations, -2)
    hashes = [_md5(str((len(targets[n]), len(sources[n]), labels[n]))) for n in nodes]
    for _ in nodes:
        before = [_joined(hashes, sources[n]) for n in nodes]
        behind = [_joined(hashes, targets[n]) for n in nodes]
        hashes = [_md5(f"{before[n]}|{behind[n]}|{hashes[n]}") for n in nodes]
    return _md5(str(sorted(hashes)))


def _joined(hashes: list[str], nodes: list[int]) -> str:
    return "".join(sorted([hashes[node] for node in nodes]))


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def smallest(cell: Cell) -> Cell:
    """The cell that the benchmark's authors list for all cells that are isomorphic to this one.

    Of the renumberings of the pruned cell whose edges go upwards, it is the one with the smallest
    edge mask, and among equals the one with the smallest operations. A mask has bit 0 for edge
    0->1, bits 1 and 2 for 0->2 and 1->2, and so on target by target.
    """
    cell = pruned(cell)
    orders = itertools.permutations(range(1, cell.output))
    members = (_renumbered(cell, order) for order in orders if _upwards(cell, order))
    return min(members, key=lambda member: (_mask(member.edges), member.operations))


def _upwards(cell: Cell, order: tuple[int, ...]) -> bool:
    """Whether every interior edge goes upwards if node n is renumbered to order[n - 1]."""
    return all(order[s - 1] < order[t - 1] for s, t in cell.edges if s > 0 and t < cell.output)


def _renumbered(cell: Cell, order: tuple[int, ...]) -> Cell:
    number = (0, *order, cell.output)
    operations = dict(zip(order, cell.operations, strict=True))
    return Cell(
        tuple(operations[node] for node in sorted(order)),
        tuple(sorted((number[s], number[t]) for s, t in cell.edges)),
    )


def _bit(edge: Edge) -> int:
    source, target = edge
    return source + target * (target - 1) // 2


def _mask(edges: Iterable[Edge]) -> int:
    return sum(1 << _bit(edge) for edge in edges)


def all_cells(output: int) -> Iterator[Cell]:
    """Every unique cell whose last node is `output` and whose nodes are all live.

    Each is in the form that `smallest` returns, and they are in the order of the authors' list.
    The seven-node cells, `all_cells(6)`, take about 2 s.

    >>> [sum(1 for _ in all_cells(output)) for output in (1, 2, 3, 4)]
    [1, 6, 84, 2441]
    """
    edges = sorted(all_edges(output), key=_bit)
    masks = _full_masks(output)
    orders = list(itertools.permutations(range(1, output)))
    images = [_images(masks, (0, *order, output)) for order in orders]
    least = np.min(images, axis=0)
    labels = list(itertools.product(range(len(OPERATIONS)), repeat=output - 1))
    moved = [_moved(labels, order) for order in orders]
    for i in np.flatnonzero(masks == least):
        drawn = tuple(sorted(edge for edge in edges if masks[i] >> _bit(edge) & 1))
        symmetries = [m for m, image in zip(moved, images, strict=True) if image[i] == masks[i]]
        for j in np.flatnonzero(np.min(symmetries, axis=0) == np.arange(len(labels))):
            yield Cell(labels[j], drawn)


def _full_masks(output: int) -> Masks:
    """The masks of at most nine edges with every node on a path from input to output.

    Since edges go upwards, it is enough that every node except the input has an incoming edge, and
    every node except the output an outgoing one.
    """
    edges = all_edges(output)
    masks = np.arange(1 << len(edges), dtype=np.int64)
    for node in range(output):
        masks = masks[masks & _mask(edge for edge in edges if edge[0] == node) > 0]
        masks = masks[masks & _mask(edge for edge in edges if edge[1] == node + 1) > 0]
    return masks[sum(masks >> bit & 1 for bit in range(len(edges))) <= MOST_EDGES]


def _images(masks: Masks, number: tuple[int, ...]) -> Masks:
    """Each mask after renumbering its nodes; the largest integer if an edge would go downwards."""
    images = np.zeros_like(masks)
    downwards = 0
    for source, target in all_edges(len(number) - 1):
        new = number[source], number[target]
        if new[0] > new[1]:
            downwards |= 1 << _bit((source, target))
        else:
            images |= (masks >> _bit((source, target)) & 1) << _bit(new)
    return np.where(masks & downwards, np.iinfo(np.int64).max, images)


def _moved(labels: list[tuple[int, ...]], order: tuple[int, ...]) -> Masks:
    """The index in `labels` of each labelling after node n is renumbered to order[n - 1]."""
    index = {label: i for i, label in enumerate(labels)}
    places = np.argsort(order)
    return np.array([index[tuple(label[p] for p in places)] for label in labels])
