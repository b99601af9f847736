"""The networks of NAS-Bench-101.

Ying et al. 2019, arXiv:1902.09635: a stem, three stacks of three identical cells with widths C, 2C
and 4C, a 2x2 max pool between stacks, and a linear classifier on the pooled features.

A cell contains and computes only its live nodes. Modules are named by the numbers of their nodes,
so a dead node changes neither the names of the others nor the weights drawn for them.
"""

import functools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from foretell.spaces.initialise import Conv2d, Linear
from foretell.spaces.nb101_cells import OPERATIONS, Cell, Edge, live_edges

__all__ = ["LEAST_CHANNELS", "network", "node_widths"]

LEAST_CHANNELS = 4
"""The fewest channels: with nine edges, up to four nodes share the output channels, each needs
one."""


def network(
    cell: Cell, *, channels: int, stacks: int, modules: int, classes: int, in_channels: int
) -> nn.Module:
    """The network in training mode, with uninitialised convolutions and classifier.

    >>> cell = Cell((0,), ((0, 1), (1, 2)))
    >>> model = network(cell, channels=4, stacks=2, modules=1, classes=2, in_channels=1)
    >>> [name for name, _ in model.named_children()]
    ['stem', 'stack1', 'pool1', 'stack2', 'head']
    """
    model = nn.Sequential()
    model.add_module("stem", _conv_bn_relu(in_channels, channels, 3))
    wide_in, width = channels, channels
    for stack in range(1, stacks + 1):
        row = nn.Sequential()
        for _ in range(modules):
            row.append(_Cell(cell, wide_in, width))
            wide_in = width
        model.add_module(f"stack{stack}", row)
        if stack < stacks:
            # TensorFlow's "same" padding: an odd size is rounded up
            model.add_module(f"pool{stack}", nn.MaxPool2d(2, ceil_mode=True))
            width *= 2
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), Linear(width, classes))
    model.add_module("head", nn.Sequential(*head))
    return model


def node_widths(edges: Sequence[Edge], output: int, width: int) -> dict[int, int]:
    """The number of output channels of every live node except the input.

    The nodes that lead to the output share its `width` evenly; if it does not divide, the first
    nodes get one channel more. Any other node is as wide as the widest node that it leads to.

    >>> node_widths([(0, 1), (1, 2), (1, 3), (2, 4), (3, 4)], output=4, width=5)
    {4: 5, 2: 3, 3: 2, 1: 3}
    """
    widths = {output: width}
    sharing = sorted(source for source, target in edges if target == output and source != 0)
    for place, node in enumerate(sharing):
        widths[node] = width // len(sharing) + (place < width % len(sharing))
    for node in range(output - 1, 0, -1):
        fed = [widths[target] for source, target in edges if source == node]
        if fed and node not in widths:
            widths[node] = max(fed)
    return widths


class _Cell(nn.Module):
    """A cell whose nodes add their inputs and whose output concatenates them.

    The input of the cell is projected to the width of each node that it leads to. If it leads to
    the output, its projection is added to the concatenated channels.
    """

    def __init__(self, cell: Cell, wide_in: int, width: int) -> None:
        super().__init__()
        edges = live_edges(cell)
        self.output = cell.output
        self.widths = node_widths(edges, cell.output, width)
        self.sources = {
            node: [source for source, target in edges if target == node and source != 0]
            for node in sorted(self.widths)
        }
        self.projections = nn.ModuleDict(
            {str(t): _conv_bn_relu(wide_in, self.widths[t], 1) for s, t in edges if s == 0}
        )
        self.operations = nn.ModuleDict(
            {
                str(node): _operation(OPERATIONS[cell.operations[node - 1]], self.widths[node])
                for node in self.sources
                if node != cell.output
            }
        )

    def forward(self, x: Tensor) -> Tensor:
        nodes: dict[int, Tensor] = {}
        for node, sources in self.sources.items():
            terms = [nodes[source] for source in sources]
            if node == self.output and terms:
                terms = [torch.cat(terms, 1)]
            terms = [_first_channels(term, self.widths[node]) for term in terms]
            if str(node) in self.projections:
                terms.append(self.projections[str(node)](x))
            total = functools.reduce(torch.add, terms)
            nodes[node] = total if node == self.output else self.operations[str(node)](total)
        return nodes[self.output]


def _first_channels(x: Tensor, width: int) -> Tensor:
    """Select the first channels; rounding can make a node one channel wider than its target."""
    return x if x.shape[1] == width else x[:, :width]


def _operation(name: str, width: int) -> nn.Module:
    if name == "maxpool3x3":
        return nn.MaxPool2d(3, stride=1, padding=1)
    return _conv_bn_relu(width, width, 3 if name == "conv3x3-bn-relu" else 1)


def _conv_bn_relu(wide_in: int, wide_out: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        Conv2d(wide_in, wide_out, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(wide_out, eps=1e-5, momentum=0.003),  # TensorFlow's momentum of 0.997
        nn.ReLU(),
    )
