"""NAS-Bench-ASR: cells of three nodes, each an operation on the previous node and some skips.

Mehrotra et al. 2021, "NAS-Bench-ASR: Reproducible Neural Architecture Search for Speech
Recognition", ICLR. This file defines the architectures and their texts; `asr_network` builds the
networks.
"""

import functools
import itertools
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import ClassVar, TypeAlias

from torch import nn

from foretell.errors import ForetellError, unknown_name
from foretell.spaces.asr_network import OPERATIONS, network
from foretell.spaces.initialise import initialise
from foretell.spaces.settings import require_integers, require_rate
from foretell.spaces.space import Arch, Json, is_chosen, require_valid

__all__ = ["NASBenchASR"]

_NODES = 3
_ZERO = OPERATIONS.index("zero")
_EXPECTED = (
    'expected three operations with their skips, such as [["linear", 1], ["conv5", 0, 1], '
    '["zero", 1, 1, 0]], or the nine numbers as digits, such as 011015110'
)
Graph: TypeAlias = tuple[tuple[int, ...], tuple[tuple[int, int], ...]]


@dataclass(frozen=True)
class NASBenchASR:
    """NAS-Bench-ASR: 13,824 cells (8,242 unique), three nodes, six operations, six skips.

    For each node, an architecture has the operation on the previous node, as an index into linear,
    conv5, conv5d2, conv7, conv7d2, zero, followed by a 1 or 0 for each earlier node, beginning with
    the input of the cell, which says whether its value is added.

    The network reads `features` mel bins and returns logits for `phonemes` and the blank. Its four
    blocks have `groups * group_width` times 3, 4, 5 and 6 channels, where `groups` is the number of
    groups of the convolutions in the cells, and `cells`, `cells + 1`, `cells + 2` and `cells + 3`
    cells. `lstm` is the number of units of a final LSTM layer, or 0 for no such layer. The defaults
    are those of the benchmark, except for its dropout of 0.2 and its LSTM of 500 units.

    >>> space = NASBenchASR()
    >>> space.parse("[[0, 1], [1, 0, 1], [5, 1, 1, 0]]")
    (0, 1, 1, 0, 1, 5, 1, 1, 0)
    >>> space.format((0, 1, 1, 0, 1, 5, 1, 1, 0))
    '[["linear", 1], ["conv5", 0, 1], ["zero", 1, 1, 0]]'
    """

    features: int = 80
    phonemes: int = 48
    groups: int = 100
    group_width: int = 2
    cells: int = 3
    lstm: int = 0
    dropout: float = 0.0

    name: ClassVar[str] = "asr"
    choices: ClassVar[tuple[tuple[str, ...], ...]] = tuple(
        options
        for node in range(1, _NODES + 1)
        for options in (OPERATIONS, *(("none", "skip"),) * node)
    )

    def __post_init__(self) -> None:
        integers = {k: v for k, v in asdict(self).items() if k not in ("lstm", "dropout")}
        require_integers(self.name, integers)
        require_integers(self.name, {"lstm": self.lstm}, least=0)
        require_rate(self.name, "dropout", self.dropout)

    def settings(self) -> dict[str, Json]:
        """The value of every field, by name."""
        return asdict(self)

    def is_valid(self, arch: Arch) -> bool:
        """True for a tuple of nine integers within their ranges."""
        return is_chosen(self.choices, arch)

    def canonical(self, arch: Arch) -> Arch:
        """The architecture that the benchmark trained for all architectures with the same graph.

        >>> NASBenchASR().canonical((0, 1, 5, 0, 0, 5, 1, 0, 0))  # `zero` cuts off the skips, too
        (5, 1, 5, 1, 1, 5, 1, 1, 1)
        """
        require_valid(self, arch)
        return _trained_members()[_graph(arch)]

    def build(self, arch: Arch, seed: int) -> nn.Module:
        """The untrained network in training mode; see `asr_network.network`."""
        require_valid(self, arch)
        model = network(
            _nodes(arch),
            features=self.features,
            phonemes=self.phonemes,
            groups=self.groups,
            group_width=self.group_width,
            cells=self.cells,
            lstm=self.lstm,
            dropout=self.dropout,
        )
        initialise(model, seed)
        return model

    def format(self, arch: Arch) -> str:
        """One JSON list per node: the name of the operation, then the skips."""
        require_valid(self, arch)
        return json.dumps([[OPERATIONS[node[0]], *node[1:]] for node in _nodes(arch)])

    def parse(self, text: str) -> Arch:
        """The architecture from nested lists or tuples, or from its nine numbers as digits.

        In the lists, operations are given by name or by number. Raises ForetellError for any other
        text.

        >>> NASBenchASR().parse("011015110")
        (0, 1, 1, 0, 1, 5, 1, 1, 0)
        """
        if re.fullmatch("[0-9]{9}", text) and self.is_valid(arch := tuple(map(int, text))):
            return arch
        plain = text.translate(str.maketrans("()'", '[]"'))
        try:
            nodes = json.loads(plain)
        except ValueError:
            nodes = None
        if not isinstance(nodes, list) or len(nodes) != _NODES:
            raise ForetellError(f"{text!r} is not a NAS-Bench-ASR cell; {_EXPECTED}")
        return tuple(
            value
            for number, node in enumerate(nodes, start=1)
            for value in _parse_node(node, number, text)
        )


def _parse_node(node: object, number: int, text: str) -> list[int]:
    """The operation of node `number`, and its `number` skips."""
    if not isinstance(node, list) or len(node) != 1 + number:
        raise ForetellError(
            f"{node!r} in {text!r} should be the operation of node {number} and its skips; "
            f"{_EXPECTED}"
        )
    operation, *skips = node
    if type(operation) is not int or not 0 <= operation < len(OPERATIONS):
        if operation not in OPERATIONS:
            said = f"{operation!r} in {text!r} is not an operation"
            raise unknown_name("operation", operation, OPERATIONS, said)
        operation = OPERATIONS.index(operation)
    if any(type(skip) is not int or skip not in (0, 1) for skip in skips):
        raise ForetellError(f"the skips {skips!r} in {text!r} should be 0 or 1 each; {_EXPECTED}")
    return [operation, *skips]


def _nodes(arch: Arch) -> tuple[Arch, ...]:
    """The nodes: (operation, skip), (operation, skip, skip), (operation, skip, skip, skip)."""
    return arch[:2], arch[2:5], arch[5:]


@functools.cache
def _trained_members() -> dict[Graph, Arch]:
    """Graph -> the architecture that the benchmark trained for it (0.5 s, once per process).

    The benchmark enumerates all architectures, the first number changing fastest, and keeps the
    last one of each graph.
    """
    slow_first = (range(len(options)) for options in reversed(NASBenchASR.choices))
    archs = (arch[::-1] for arch in itertools.product(*slow_first))
    return {_graph(arch): arch for arch in archs}


def _graph(arch: Arch) -> Graph:
    """The graph by which the benchmark compares cells: operations, and the edges between them.

    Node 0 is the input, nodes 1 to 3 are operations and node 4 is the output. Each operation leads
    to the next, and a skip of node k from node i is an edge from operation i to the node after
    operation k. `zero` is removed with its edges, then everything that is not on a path from input
    to output; of all numberings of the remaining nodes, the one with the smallest result is used.

    The rule yields the published 8,242 graphs: 8,000 without `zero`, all different, and 242 with
    it. It treats a skip as coming from an operation, although the network adds the whole node: the
    operation and the skips into it. Removing a `zero` therefore also removes the skips around it,
    whereas the networks compute 9,135 different functions.
    """
    operations = dict(enumerate((node[0] for node in _nodes(arch)), start=1))
    edges = {(node, node + 1) for node in range(_NODES + 1)}
    for node, (_, *skips) in enumerate(_nodes(arch), start=1):
        edges |= {(source, node + 1) for source, skip in enumerate(skips) if skip}
    kept = {0, *(node for node, name in operations.items() if name != _ZERO), _NODES + 1}
    edges = {edge for edge in edges if kept.issuperset(edge)}
    onward = _reached({0}, edges)
    back = _reached({_NODES + 1}, {(target, source) for source, target in edges})
    middle = sorted((onward & back) - {0, _NODES + 1})
    edges = {edge for edge in edges if (onward & back).issuperset(edge)}
    return min(_numbered(order, operations, edges) for order in itertools.permutations(middle))


def _reached(start: set[int], edges: set[tuple[int, int]]) -> set[int]:
    reached = set(start)
    for _ in range(_NODES + 1):
        reached |= {target for source, target in edges if source in reached}
    return reached


def _numbered(
    order: Iterable[int], operations: dict[int, int], edges: set[tuple[int, int]]
) -> Graph:
    """The operations in this order, and the edges between them with their new numbers."""
    order = tuple(order)
    number = {0: 0, **{node: place for place, node in enumerate(order, 1)}, _NODES + 1: _NODES + 1}
    renumbered = sorted((number[source], number[target]) for source, target in edges)
    return tuple(operations[node] for node in order), tuple(renumbered)
