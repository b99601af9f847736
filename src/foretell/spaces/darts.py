"""The DARTS space: a normal and a reduction cell of four nodes with two inputs each.

Liu et al. 2019, arXiv:1806.09055. This file defines the architectures and their texts;
`darts_network` builds the networks.
"""

import ast
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from torch import nn

from foretell.errors import ForetellError
from foretell.spaces.darts_network import NODES, OPERATIONS, CellPlan, Network
from foretell.spaces.graph import Graph
from foretell.spaces.initialise import initialise
from foretell.spaces.settings import IntegerSettings
from foretell.spaces.space import Arch, is_chosen, require_valid

__all__ = ["DARTS"]

PAIRS = tuple(tuple(itertools.combinations(range(node + 2), 2)) for node in range(NODES))
"""The possible pairs of inputs of each node."""
CHOICES = tuple(
    options
    for pairs in PAIRS
    for options in (tuple(f"{one},{two}" for one, two in pairs), OPERATIONS, OPERATIONS)
)
EXPECTED = (
    "expected two cells separated by /, each of four nodes separated by |, such as "
    "sep_conv_3x3~0+skip_connect~1, or Genotype(normal=[...], ..., reduce=[...], ...)"
)


@dataclass(frozen=True)
class DARTS(IntegerSettings):
    """DARTS: about 10^18 pairs of cells, four nodes with two inputs each, seven operations.

    For each of the eight nodes, an architecture has the pair of its inputs and the operations on
    them. Inputs 0 and 1 are the outputs of the two previous cells, and input 2 is the first node.
    The network has `cells` cells, the first of which has `channels` channels; the authors trained
    it with 20 and 36 on CIFAR-10. `resolution` is the height and width of the images; it does not
    change the network, which accepts images of any size.

    >>> space = DARTS()
    >>> node = "sep_conv_3x3~0+skip_connect~1"
    >>> cell = "|".join([node] * 4)
    >>> space.format(space.parse(f"{cell}/{cell}")) == f"{cell}/{cell}"
    True
    """

    channels: int = 36
    cells: int = 20
    classes: int = 10
    in_channels: int = 3
    resolution: int = 32

    name: ClassVar[str] = "darts"
    choices: ClassVar[tuple[tuple[str, ...], ...]] = CHOICES * 2

    def is_valid(self, arch: Arch) -> bool:
        """True for a tuple of 24 integers within their ranges."""
        return is_chosen(self.choices, arch)

    def canonical(self, arch: Arch) -> Arch:
        """The smallest architecture whose cells differ from these only in the order of their nodes.

        Moving a node before another one that is not among its inputs only changes the order of the
        channels in the output of the cell.
        """
        require_valid(self, arch)
        half = len(CHOICES)
        return min(_reordered(arch[:half])) + min(_reordered(arch[half:]))

    def graph(self, arch: Arch) -> Graph:
        """Both cells, with the operations as nodes, and a node for each sum."""
        require_valid(self, arch)
        labels: list[str] = ["input", "input"]
        edges: list[tuple[int, int]] = []
        for cell in _plans(arch):
            values = [0, 1]
            for node in range(NODES):
                total = len(labels) + 2
                for name, source in cell[2 * node : 2 * node + 2]:
                    edges += [(values[source], len(labels)), (len(labels), total)]
                    labels.append(name)
                labels.append("sum")
                values.append(total)
        return tuple(labels), tuple(edges)

    def build(self, arch: Arch, seed: int) -> nn.Module:
        """The untrained network in training mode; see `darts_network.Network`."""
        require_valid(self, arch)
        sizes = {key: value for key, value in asdict(self).items() if key != "resolution"}
        model = Network(*_plans(arch), **sizes)
        initialise(model, seed)
        return model

    def format(self, arch: Arch) -> str:
        """The normal and the reduction cell: `sep_conv_3x3~0+skip_connect~1|…|…|…/…`."""
        require_valid(self, arch)
        return "/".join(
            "|".join(
                "+".join(f"{name}~{source}" for name, source in cell[place : place + 2])
                for place in range(0, 2 * NODES, 2)
            )
            for cell in _plans(arch)
        )

    def parse(self, text: str) -> Arch:
        """The architecture from a text by `format`, or from a `Genotype` of the authors' code.

        NASLib's lists of (input, number of the operation) are accepted too; the order of the inputs
        of a node does not matter. Raises ForetellError for any other text.

        >>> v1 = "[[(0, 3), (1, 3), (0, 3), (1, 3), (1, 3), (0, 2), (0, 2), (2, 5)], "
        >>> v2 = "[(0, 0), (1, 0), (2, 2), (1, 0), (0, 0), (2, 2), (2, 2), (1, 0)]]"
        >>> DARTS().format(DARTS().parse(v1 + v2)).partition("|")[0]
        'sep_conv_3x3~0+sep_conv_3x3~1'
        """
        try:
            normal, reduction = _read(text.strip())
            arch = (*_options(normal), *_options(reduction))
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
            shown = text if len(text) <= 60 else f"{text[:57]}..."
            raise ForetellError(f"{shown!r} is not a network of DARTS; {EXPECTED}") from error
        return arch


def _plans(arch: Arch) -> tuple[CellPlan, CellPlan]:
    """The normal and the reduction cell."""
    half = len(CHOICES)
    normal, reduction = (list(_edges(cell)) for cell in (arch[:half], arch[half:]))
    return normal, reduction


def _edges(cell: Arch) -> Iterator[tuple[str, int]]:
    for node, pairs in enumerate(PAIRS):
        pair, *operations = cell[3 * node : 3 * node + 3]
        for source, operation in zip(pairs[pair], operations, strict=True):
            yield OPERATIONS[operation], source


def _options(cell: CellPlan) -> Iterator[int]:
    """The options of a cell. Raises ValueError unless every node has two different inputs."""
    if len(cell) != 2 * NODES:
        raise ValueError
    for node, pairs in enumerate(PAIRS):
        edges = sorted(cell[2 * node : 2 * node + 2], key=lambda edge: edge[1])
        yield pairs.index(tuple(source for _, source in edges))
        yield from (OPERATIONS.index(name) for name, _ in edges)


def _reordered(cell: Arch) -> Iterator[Arch]:
    """Yield the cell with its nodes in every order that places the inputs of a node before it."""
    nodes = [list(_edges(cell))[place : place + 2] for place in range(0, 2 * NODES, 2)]
    for order in itertools.permutations(range(NODES)):
        place = {0: 0, 1: 1} | {2 + node: 2 + at for at, node in enumerate(order)}
        moved = [(name, place[source]) for node in order for name, source in nodes[node]]
        if all(source < 2 + at // 2 for at, (_, source) in enumerate(moved)):
            yield tuple(_options(moved))


def _read(text: str) -> Sequence[CellPlan]:
    """Parse the two cells from any of the three text forms; raises ValueError or SyntaxError."""
    if text.startswith("Genotype"):
        cells = re.findall(r"(?:normal|reduce) *= *(\[[^\]]*\])", text)
        return [_checked(ast.literal_eval(cell)) for cell in cells]
    if text.startswith("["):
        lists = ast.literal_eval(text)
        return [[(OPERATIONS[number], source) for source, number in cell] for cell in lists]
    return [
        [
            (edge.partition("~")[0], int(edge.partition("~")[2]))
            for edge in cell.replace("|", "+").split("+")
        ]
        for cell in text.split("/")
    ]


def _checked(cell: Any) -> CellPlan:
    return [(str(name), int(source)) for name, source in cell]
