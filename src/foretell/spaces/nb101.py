"""NAS-Bench-101: cells of at most seven nodes and nine edges, three operations.

Ying et al. 2019, arXiv:1902.09635. This file defines the architectures and their texts;
`nb101_cells` handles cells as graphs, and `nb101_network` builds the networks.
"""

import functools
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from foretell.errors import ForetellError
from foretell.spaces.graph import Graph
from foretell.spaces.initialise import initialise, normal_fan_out
from foretell.spaces.nb101_cells import (
    MOST_EDGES,
    MOST_NODES,
    OPERATIONS,
    Cell,
    Edge,
    all_cells,
    all_edges,
    fingerprint,
    live_edges,
    smallest,
)
from foretell.spaces.nb101_network import LEAST_CHANNELS, network
from foretell.spaces.settings import IntegerSettings, require_integers
from foretell.spaces.space import Arch, is_chosen, require_valid

__all__ = ["NASBench101"]

_OUTPUT = MOST_NODES - 1
_EDGES = all_edges(_OUTPUT)
_EXPECTED = (
    "expected the adjacency matrix above its diagonal, row by row, a colon, and one digit per "
    "interior node (0 conv3x3-bn-relu, 1 conv1x1-bn-relu, 2 maxpool3x3), such as 110011:01, "
    "for 2 to 7 nodes"
)


@dataclass(frozen=True)
class NASBench101(IntegerSettings):
    """NAS-Bench-101: 423,624 unique cells, up to seven nodes and nine edges, three operations.

    An architecture consists of the operations of nodes 1 to 5, as indices into conv3x3-bn-relu,
    conv1x1-bn-relu, maxpool3x3, followed by a 1 or 0 for each of the edges 0->1, 0->2, ..., 0->6,
    1->2, ..., 5->6, which says whether the edge exists. Node 0 is the input and node 6 the output.
    Nodes and edges that are not on a path from input to output are removed before edges are counted
    and the network is built.

    The network has `stacks` stacks of `modules` cells each; the first stack has `channels`
    channels, and the width doubles from stack to stack. `resolution` is the height and width of
    the images; it does not change the network, which accepts images of any size.

    >>> space = NASBench101()
    >>> arch = space.parse("110011:01")  # 0->1, 0->2, 1->3, 2->3
    >>> space.format(arch), space.hash(arch)
    ('110011:01', '1af995a92568cf42af2c2668f72834ea')
    """

    channels: int = 128
    stacks: int = 3
    modules: int = 3
    classes: int = 10
    in_channels: int = 3
    resolution: int = 32

    name: ClassVar[str] = "nb101"
    choices: ClassVar[tuple[tuple[str, ...], ...]] = (
        *(OPERATIONS,) * (MOST_NODES - 2),
        *(("none", "edge"),) * len(_EDGES),
    )

    def __post_init__(self) -> None:
        require_integers(self.name, {"channels": self.channels}, least=LEAST_CHANNELS)
        super().__post_init__()

    def is_valid(self, arch: Arch) -> bool:
        """True if there is a path from input to output and at most nine edges are on such paths."""
        return is_chosen(self.choices, arch) and 0 < len(live_edges(_cell(arch))) <= MOST_EDGES

    def canonical(self, arch: Arch) -> Arch:
        """The cell that the benchmark lists for all cells that are isomorphic to this one.

        Where the channels do not divide evenly, the widths of nodes depend on their order, so
        isomorphic cells may differ in a few parameters; the benchmark trained the listed one.

        >>> space = NASBench101()
        >>> space.format(space.canonical(space.parse("110011:10")))
        '110011:01'
        """
        require_valid(self, arch)
        return _arch(smallest(_cell(arch)))

    def hash(self, arch: Arch) -> str:
        """The benchmark's hash: 32 hex digits, equal if and only if cells are isomorphic."""
        require_valid(self, arch)
        return fingerprint(_cell(arch))

    def cells(self) -> Iterator[Arch]:
        """Every unique cell once, in canonical form, in the order of the benchmark's list.

        Listing all 423,624 cells takes 3 s, whereas `enumerate_space` would check 5e8 tuples.
        """
        return (_arch(cell) for output in range(1, MOST_NODES) for cell in all_cells(output))

    def graph(self, arch: Arch) -> Graph:
        """The cell with all its nodes, and the edges that are on paths from input to output."""
        require_valid(self, arch)
        cell = _cell(arch)
        labels = ("input", *(OPERATIONS[operation] for operation in cell.operations), "output")
        return labels, tuple(sorted(live_edges(cell)))

    def build(self, arch: Arch, seed: int) -> nn.Module:
        """The untrained network in training mode; see `nb101_network.network`.

        Weights are drawn from N(0, 2 / (kernel area * output channels)) in convolutions and from
        N(0, 0.01^2) in the classifier, whose bias is 0, as in the code of arXiv:2101.08134. For a
        given seed, the weights of a node depend on its operation and width, but not on the
        operations of the other nodes.
        """
        require_valid(self, arch)
        model = network(
            _cell(arch),
            channels=self.channels,
            stacks=self.stacks,
            modules=self.modules,
            classes=self.classes,
            in_channels=self.in_channels,
        )
        initialise(model, seed, normal_fan_out)
        return model

    def format(self, arch: Arch) -> str:
        """The upper triangle of the adjacency matrix by rows, a colon, and the interior operations.

        The last nodes before the output are left out if they have no edges and operation 0, so a
        cell with fewer nodes has the short text of its own matrix. Other dead nodes and edges are
        kept.
        """
        require_valid(self, arch)
        cell = _cell(arch)
        touched = {node for edge in cell.edges for node in edge}
        kept = _OUTPUT - 1
        while kept and kept not in touched and cell.operations[kept - 1] == 0:
            kept -= 1
        cell = _resized(cell, kept + 1)
        bits = "".join(str(int(edge in cell.edges)) for edge in all_edges(cell.output))
        return f"{bits}:{''.join(map(str, cell.operations))}"

    def parse(self, text: str) -> Arch:
        """The architecture from the text of a cell of two to seven nodes.

        The nodes of a smaller cell become nodes 0, 1, 2, ..., and its output becomes node 6.
        Raises ForetellError for any other text.

        >>> space = NASBench101()
        >>> space.parse("1:") == space.parse("000001000000000000000:00000")  # input->output alone
        True
        """
        text = text.strip()
        match = re.fullmatch("([01]+):([0-2]{0,5})", text)
        if match is None:
            raise ForetellError(f"{text!r} is not a NAS-Bench-101 cell; {_EXPECTED}")
        bits, digits = match.groups()
        edges = all_edges(len(digits) + 1)
        if len(bits) != len(edges):
            raise ForetellError(
                f"{text!r} gives {len(bits)} bits for a cell of {len(digits) + 2} nodes, which "
                f"needs {len(edges)}; {_EXPECTED}"
            )
        drawn = tuple(edge for edge, bit in zip(edges, bits, strict=True) if bit == "1")
        cell = Cell(tuple(map(int, digits)), drawn)
        if not 0 < (live := len(live_edges(cell))) <= MOST_EDGES:
            raise ForetellError(
                f"{text!r} has {live} edges on paths from input to output; give a cell that has 1 "
                f"to {MOST_EDGES}"
            )
        return _arch(cell)


def _cell(arch: Arch) -> Cell:
    operations, bits = arch[: MOST_NODES - 2], arch[MOST_NODES - 2 :]
    return Cell(operations, tuple(itertools.compress(_EDGES, bits)))


def _arch(cell: Cell) -> Arch:
    cell = _resized(cell, _OUTPUT)
    return (*cell.operations, *_bits(cell.edges))


@functools.lru_cache(maxsize=256)
def _bits(edges: tuple[Edge, ...]) -> tuple[int, ...]:
    """A 1 or 0 for each of the 21 edges; cached, since `cells` yields the same edges repeatedly."""
    return tuple(int(edge in edges) for edge in _EDGES)


def _resized(cell: Cell, output: int) -> Cell:
    """The cell with node `output` as its last; adds or removes nodes without edges before it."""
    if cell.output == output:
        return cell
    added = (0,) * (output - cell.output)
    edges = ((source, output if target == cell.output else target) for source, target in cell.edges)
    return Cell((*cell.operations, *added)[: output - 1], tuple(edges))
