"""The networks of NAS-Bench-201.

Dong & Yang 2020, arXiv:2001.00326: a stem, three stages of identical cells with widths C, 2C and
4C, a residual block of stride two between stages, and a linear classifier on the pooled features.

A cell contains all of its operations but computes only its live edges. It skips two kinds of edge,
which cannot change the output:

* an edge into a node from which the output of the cell cannot be reached;
* an edge from a node that is always zero, because only `none` or other zeros lead to it. As
  initialised, a convolution without bias and the BatchNorm after it map zeros to exact zeros.
  (Training could give that BatchNorm a bias, so at most such an edge could learn to add a
  constant.) The convolutions of the reference variant have a bias, so it keeps these edges.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

import torch.nn.functional as F
from torch import Tensor, nn

from foretell.spaces.blocks import relu_conv_bn
from foretell.spaces.graph import Graph
from foretell.spaces.initialise import Conv2d, Linear

__all__ = [
    "EDGES",
    "OPERATIONS",
    "Cell",
    "Edge",
    "Reduction",
    "head",
    "live_edges",
    "network",
    "operations_as_nodes",
]

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
Edge: TypeAlias = tuple[int, int]
EDGES: tuple[Edge, ...] = ((1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2))
"""(target, source) of each position of an architecture; node 0 is the input, 3 the output."""

_NONE = OPERATIONS.index("none")
_MARK = "kept_in_reference_synflow"  # the attribute that synflow_reference looks for


def network(
    arch: tuple[int, ...],
    *,
    channels: int,
    cells: int,
    classes: int,
    in_channels: int,
    as_reference: bool,
) -> nn.Module:
    """The network in training mode, with uninitialised convolutions and classifier.

    >>> model = network(
    ...     (3, 0, 0, 1, 0, 4), channels=4, cells=1, classes=2, in_channels=1, as_reference=False
    ... )
    >>> [name for name, _ in model.named_children()]
    ['stem', 'stage1', 'reduction1', 'stage2', 'reduction2', 'stage3', 'head']
    """
    live = live_edges(arch, zero_fed=as_reference)
    model = nn.Sequential()
    stem = Conv2d(in_channels, channels, 3, padding=1, bias=False)
    model.add_module("stem", nn.Sequential(stem, nn.BatchNorm2d(channels)))
    width = channels
    for stage in (1, 2, 3):
        row = (_cell(arch, live, width, as_reference) for _ in range(cells))
        model.add_module(f"stage{stage}", nn.Sequential(*row))
        if stage < 3:
            model.add_module(
                f"reduction{stage}", Reduction(width, 2 * width, as_reference=as_reference)
            )
            width *= 2
    model.add_module("head", nn.Sequential(*head(width, classes)))
    return model


def head(width: int, classes: int) -> Iterator[nn.Module]:
    """BatchNorm and ReLU, the mean over the pixels, and a linear classifier."""
    yield nn.BatchNorm2d(width)
    yield nn.ReLU()
    yield nn.AdaptiveAvgPool2d(1)
    yield nn.Flatten()
    yield Linear(width, classes)


def live_edges(arch: tuple[int, ...], *, zero_fed: bool) -> tuple[Edge, ...]:
    """The edges that the output of the cell depends on, as (target, source) in the order of EDGES.

    With `zero_fed`, they include edges whose source is a node that is always zero.

    >>> live_edges((0, 1, 3, 1, 0, 3), zero_fed=False)  # node 1 is zero, and so is 2<-1
    ((2, 0), (3, 0), (3, 2))
    """
    carrying = [edge for edge, operation in zip(EDGES, arch, strict=True) if operation != _NONE]
    fed = {0}
    for target, source in carrying:  # EDGES lists all edges into a node before any out of it
        if source in fed:
            fed.add(target)
    useful = {3}
    for target, source in reversed(carrying):
        if target in useful:
            useful.add(source)
    return tuple((t, s) for t, s in carrying if t in useful and (zero_fed or s in fed))


def operations_as_nodes(labels: Sequence[str]) -> Graph:
    """The graph of a cell whose nodes are the operations on `EDGES`, with these labels.

    >>> operations_as_nodes(["none"] * 6)[1][:4]
    ((0, 1), (0, 2), (0, 4), (1, 3))
    """
    after = [(0, 1 + n) for n, (_, source) in enumerate(EDGES) if source == 0]
    after += [
        (1 + before, 1 + behind)
        for before, (target, _) in enumerate(EDGES)
        for behind, (_, source) in enumerate(EDGES)
        if target == source
    ]
    output = len(EDGES) + 1
    after += [(1 + n, output) for n, (target, _) in enumerate(EDGES) if target == 3]
    return ("input", *labels, "output"), tuple(after)


class Cell(nn.Module):
    """Four nodes, each the sum of its edges; the first is the input, the last the output."""

    def __init__(self, operations: Mapping[Edge, nn.Module], live: tuple[Edge, ...]) -> None:
        super().__init__()
        self.edges = nn.ModuleDict({_key(*edge): operations[edge] for edge in operations})
        self.live = live

    def forward(self, x: Tensor) -> Tensor:
        """The output of the cell; a node without terms is zero."""
        nodes = {0: x}
        for target, source in self.live:
            given = nodes[source] if source in nodes else self.zero(x)
            term = self.edges[_key(target, source)](given)
            nodes[target] = nodes[target] + term if target in nodes else term
        return nodes[3] if 3 in nodes else self.zero(x)

    def zero(self, x: Tensor) -> Tensor:
        """The value of a node without terms, with a gradient of zero for the input of the cell."""
        return x * 0


def _cell(arch: tuple[int, ...], live: tuple[Edge, ...], width: int, as_reference: bool) -> Cell:
    operations = {
        edge: _operation(OPERATIONS[operation], width, as_reference)
        for edge, operation in zip(EDGES, arch, strict=True)
        if operation != _NONE
    }
    return Cell(operations, live)


def _key(target: int, source: int) -> str:
    return f"{target}<-{source}"


def _operation(name: str, width: int, as_reference: bool) -> nn.Module:
    if name == "skip_connect":
        return nn.Identity()
    if name == "avg_pool_3x3":
        return nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    kernel = 3 if name == "nor_conv_3x3" else 1
    return nn.Sequential(
        nn.ReLU(),
        Conv2d(width, width, kernel, padding=kernel // 2, bias=as_reference),
        nn.BatchNorm2d(width, affine=not as_reference, track_running_stats=not as_reference),
    )


class Reduction(nn.Module):
    """A residual block that halves the size of the image and changes the number of channels.

    Two 3x3 convolutions, the first of stride two, plus a 2x2 average pool and a 1x1 convolution.
    """

    def __init__(self, wide_in: int, wide_out: int, *, as_reference: bool = False) -> None:
        super().__init__()
        self.conv_a = relu_conv_bn(wide_in, wide_out, 3, stride=2)
        self.conv_b = relu_conv_bn(wide_out, wide_out, 3)
        self.shortcut = Conv2d(wide_in, wide_out, 1, bias=False)
        for norm in (self.conv_a[2], self.conv_b[2]):
            # the authors' copy without BatchNorm, made for synflow, still contains these two
            setattr(norm, _MARK, as_reference)

    def forward(self, x: Tensor) -> Tensor:
        """Halve the size of the images, rounding up."""
        odd = any(size % 2 for size in x.shape[2:])  # the convolution rounds an odd size up
        pooled = F.avg_pool2d(x, 2, ceil_mode=odd)
        total: Tensor = self.shortcut(pooled) + self.conv_b(self.conv_a(x))
        return total
