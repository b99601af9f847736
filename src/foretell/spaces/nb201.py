"""NAS-Bench-201: cells of four nodes whose six edges each carry one of five operations.

Dong & Yang 2020, arXiv:2001.00326. This file defines the architectures and their texts;
`nb201_network` builds the networks.
"""

import functools
import itertools
import random
import re
from dataclasses import asdict, dataclass
from typing import ClassVar, Literal, get_args

from torch import nn

from foretell.errors import ForetellError, unknown_name
from foretell.spaces.graph import Graph
from foretell.spaces.initialise import initialise
from foretell.spaces.nb201_network import EDGES, OPERATIONS, network, operations_as_nodes
from foretell.spaces.settings import require_integers
from foretell.spaces.space import Arch, Json, is_chosen, require_valid

__all__ = ["NASBench201"]

Variant = Literal["benchmark", "reference"]

_EXPECTED = (
    "expected six operations, such as |nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|"
    "avg_pool_3x3~2|, six digits such as 301024, or an index from 0 to 15624"
)
_SHUFFLE_SEED = 88  # the benchmark's authors numbered the cells in this shuffled order


@dataclass(frozen=True)
class NASBench201:
    """NAS-Bench-201: 15,625 cells (6,466 unique), four nodes, five operations.

    An architecture consists of the operations of the edges 1<-0, 2<-0, 2<-1, 3<-0, 3<-1, 3<-2, as
    indices into none, skip_connect, nor_conv_1x1, nor_conv_3x3, avg_pool_3x3.

    `variant="benchmark"` builds the network that the benchmark trained, with affine BatchNorm and
    without bias in convolutions. `variant="reference"` builds the network that the code of
    arXiv:2101.08134 scores: in its cells, BatchNorm has neither affine weights nor running
    statistics, and convolutions have a bias. The network has three stages of `cells` cells each;
    the first stage has `channels` channels. `resolution` is the height and width of the images; it
    does not change the network, which accepts images of any size.

    >>> space = NASBench201()
    >>> space.parse("|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|avg_pool_3x3~2|")
    (3, 0, 0, 1, 0, 4)
    >>> space.format((3, 0, 0, 1, 0, 4))
    '|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|avg_pool_3x3~2|'
    """

    channels: int = 16
    cells: int = 5
    classes: int = 10
    in_channels: int = 3
    resolution: int = 32
    variant: Variant = "benchmark"

    name: ClassVar[str] = "nb201"
    choices: ClassVar[tuple[tuple[str, ...], ...]] = (OPERATIONS,) * len(EDGES)

    def __post_init__(self) -> None:
        require_integers(self.name, {k: v for k, v in asdict(self).items() if k != "variant"})
        if self.variant not in get_args(Variant):
            said = f"nb201: no variant is called {self.variant!r}"
            raise unknown_name("variant", self.variant, get_args(Variant), said)

    def settings(self) -> dict[str, Json]:
        """The value of every field, by name."""
        return asdict(self)

    def is_valid(self, arch: Arch) -> bool:
        """True for a tuple of six integers within 0..4."""
        return is_chosen(self.choices, arch)

    def canonical(self, arch: Arch) -> Arch:
        """The smallest architecture that has the same unique string by the benchmark's own rule.

        >>> NASBench201().canonical((3, 0, 0, 0, 1, 0))  # one convolution, then a skip
        (0, 0, 0, 3, 0, 0)
        """
        require_valid(self, arch)
        return _canonical_forms()[arch]

    def graph(self, arch: Arch) -> Graph:
        """The cell with the operations as nodes, as in BRP-NAS (arXiv:2007.08668)."""
        require_valid(self, arch)
        return operations_as_nodes([OPERATIONS[option] for option in arch])

    def build(self, arch: Arch, seed: int) -> nn.Module:
        """The untrained network in training mode; see `nb201_network.network`.

        For a given seed, the weights of a live edge do not depend on the operations of the others.
        """
        require_valid(self, arch)
        model = network(
            arch,
            channels=self.channels,
            cells=self.cells,
            classes=self.classes,
            in_channels=self.in_channels,
            as_reference=self.variant == "reference",
        )
        initialise(model, seed)
        return model

    def format(self, arch: Arch) -> str:
        """The benchmark's string of the architecture."""
        require_valid(self, arch)
        parts: dict[int, str] = {}
        for (target, source), operation in zip(EDGES, arch, strict=True):
            parts[target] = parts.get(target, "|") + f"{OPERATIONS[operation]}~{source}|"
        return "+".join(parts.values())

    def parse(self, text: str) -> Arch:
        """The architecture from the benchmark's string, from six digits, or from its index.

        Raises ForetellError for any other text.

        >>> space = NASBench201()
        >>> space.parse("421211") == space.parse("0")  # the benchmark's first cell
        True
        """
        text = text.strip()
        if re.fullmatch("[0-4]{6}", text):
            return tuple(int(digit) for digit in text)
        if re.fullmatch("[0-9]{1,5}", text) and int(text) < len(_official_order()):
            return _official_order()[int(text)]
        nodes = text.split("+")
        if len(nodes) != 3:
            raise ForetellError(f"{text!r} is not a NAS-Bench-201 cell; {_EXPECTED}")
        return tuple(
            operation
            for target, node in enumerate(nodes, start=1)
            for operation in _parse_node(node, target, text)
        )


def _parse_node(node: str, target: int, text: str) -> list[int]:
    """The operations on the edges into node `target`, from `|operation~source|...|`."""
    edges = node[1:-1].split("|")
    if not (len(node) > 1 and node[0] == node[-1] == "|" and len(edges) == target):
        raise ForetellError(
            f"{node!r} in {text!r} does not give node {target} its {target} edges; {_EXPECTED}"
        )
    return [_parse_edge(edge, source, target, text) for source, edge in enumerate(edges)]


def _parse_edge(edge: str, source: int, target: int, text: str) -> int:
    operation, _, given_source = edge.partition("~")
    if operation not in OPERATIONS:
        said = f"{operation!r} in {text!r} is not an operation"
        raise unknown_name("operation", operation, OPERATIONS, said)
    if given_source != str(source):
        raise ForetellError(
            f"{edge!r} in {text!r} should come from node {source}: "
            f"the edges into node {target} come from nodes 0..{target - 1} in that order"
        )
    return OPERATIONS.index(operation)


def _all_archs() -> list[Arch]:
    return list(itertools.product(range(len(OPERATIONS)), repeat=len(EDGES)))


@functools.cache
def _official_order() -> list[Arch]:
    """All architectures, each at its index in the files of the benchmark."""
    archs = _all_archs()
    random.Random(_SHUFFLE_SEED).shuffle(archs)
    return archs


@functools.cache
def _canonical_forms() -> dict[Arch, Arch]:
    """Architecture -> the smallest one with the same unique string (0.2 s, once per process)."""
    smallest: dict[str, Arch] = {}
    # ascending, so the first is the smallest
    return {arch: smallest.setdefault(_unique_string(arch), arch) for arch in _all_archs()}


def _unique_string(arch: Arch) -> str:
    """The computation of the last node as a string, starting from the input "0".

    An edge is zero ("#") if its operation is `none` or its source is written "#"; `skip_connect`
    is written as its source; any other edge is its source followed by its operation. A node is
    the sorted sum of its edges. The benchmark regards two cells as the same network if these
    strings are equal. The rule is textual: zero terms stay in a sum, sums are sorted as text, and
    two convolutions of one input are written like one convolution used twice. Stricter rules give
    counts other than 6,466.
    """
    values = {0: "0"}
    terms: dict[int, list[str]] = {}
    for (target, source), operation in zip(EDGES, arch, strict=True):
        name = OPERATIONS[operation]
        term = f"({values[source]})@{name}"
        if name == "none" or values[source] == "#":
            term = "#"
        elif name == "skip_connect":
            term = values[source]
        terms.setdefault(target, []).append(term)
        values[target] = "+".join(sorted(terms[target]))
    return values[3]
