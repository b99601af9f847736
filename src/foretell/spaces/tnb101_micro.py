"""TransNAS-Bench-101's cells: four nodes whose six edges each carry one of four operations.

Duan et al. 2021, arXiv:2105.11871. This file defines the architectures and their texts;
`tnb101_network` and `tnb101_tasks` build the networks.
"""

import re
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from torch import nn

from foretell.errors import ForetellError
from foretell.spaces.graph import Graph
from foretell.spaces.nb201_network import EDGES, live_edges, operations_as_nodes
from foretell.spaces.space import Arch, is_chosen, require_valid
from foretell.spaces.tnb101_network import MICRO, OPERATIONS, cell
from foretell.spaces.tnb101_settings import TransNASSettings

__all__ = ["TransNASMicro"]

_TEXT = re.compile(r"(?:[0-9]+-41414-)?([0-3])_?([0-3])([0-3])_?([0-3])([0-3])([0-3])")


@dataclass(frozen=True)
class TransNASMicro(TransNASSettings):
    """TransNAS-Bench-101, cells: 4,096 cells (1,948 unique), four operations, seven tasks.

    An architecture consists of the operations of the edges 1<-0, 2<-0, 2<-1, 3<-0, 3<-1, 3<-2, as
    indices into none, skip_connect, conv_1x1, conv_3x3. The network has five modules of `blocks`
    cells; the first cell of the modules 1, 3 and 5 halves the resolution and doubles the channels.

    >>> space = TransNASMicro()
    >>> space.parse("64-41414-1_02_333")
    (1, 0, 2, 3, 3, 3)
    >>> space.format((1, 0, 2, 3, 3, 3))
    '1_02_333'
    """

    name: ClassVar[str] = "tnb101_micro"
    choices: ClassVar[tuple[tuple[str, ...], ...]] = (OPERATIONS,) * len(EDGES)

    def is_valid(self, arch: Arch) -> bool:
        """True for a tuple of six integers within 0..3."""
        return is_chosen(self.choices, arch)

    def canonical(self, arch: Arch) -> Arch:
        """The architecture without dead edges, and with its inner nodes in ascending order.

        The inner nodes can be exchanged if no edge connects them.

        >>> TransNASMicro().canonical((0, 3, 0, 0, 1, 2))
        (3, 0, 0, 0, 2, 0)
        """
        require_valid(self, arch)
        live = live_edges(arch, zero_fed=False)
        kept = tuple(
            operation if edge in live else 0 for edge, operation in zip(EDGES, arch, strict=True)
        )
        first, second, between, direct, *out = kept
        return kept if between else max(kept, (second, first, 0, direct, *reversed(out)))

    def graph(self, arch: Arch) -> Graph:
        """The cell with the operations as nodes, as for NAS-Bench-201."""
        require_valid(self, arch)
        return operations_as_nodes([OPERATIONS[option] for option in arch])

    def build(self, arch: Arch, seed: int) -> nn.Module:
        """The untrained network in training mode; see `tnb101_network.network`.

        For a given seed, the weights of a live edge do not depend on the operations of the others.
        """
        require_valid(self, arch)
        return self.network(MICRO, partial(cell, arch), seed)

    def format(self, arch: Arch) -> str:
        """The part of the benchmark's string that describes the cell."""
        require_valid(self, arch)
        return "{}_{}{}_{}{}{}".format(*arch)

    def parse(self, text: str) -> Arch:
        """The architecture from the benchmark's string, its last part, or its six digits.

        Raises ForetellError for any other text.

        >>> TransNASMicro().parse("102333") == TransNASMicro().parse("1_02_333")
        True
        """
        if not (found := _TEXT.fullmatch(text.strip())):
            raise ForetellError(
                f"{text!r} is not a cell of TransNAS-Bench-101; expected 64-41414-1_02_333, "
                "1_02_333, or six digits 0..3 such as 102333"
            )
        return tuple(map(int, found.groups()))
