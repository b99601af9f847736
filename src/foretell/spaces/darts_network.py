"""The networks of the DARTS space.

Liu et al. 2019, arXiv:1806.09055: a stem, cells whose inputs are the outputs of the two previous
cells, and a linear classifier on the pooled features. The cells after one and two thirds of the
network halve the resolution and double the channels. The auxiliary head and the path dropout that
the authors train with are left out.
"""

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn

from foretell.spaces.blocks import FactorizedReduce, relu_conv_bn
from foretell.spaces.initialise import Conv2d, Linear

__all__ = ["NODES", "OPERATIONS", "CellPlan", "Network"]

OPERATIONS = (
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
"""The operations, in the order in which NASLib numbers them."""
NODES = 4
"""The inner nodes of a cell, whose outputs are concatenated to its output."""

CellPlan: TypeAlias = Sequence[tuple[str, int]]
"""Two pairs (operation, input) per node; inputs 0 and 1 are those of the cell, 2 the first node."""


class Network(nn.Module):
    """The network of a normal and a reduction cell, with uninitialised weights.

    >>> plan = [("sep_conv_3x3", 0), ("skip_connect", 1)] * 4
    >>> network = Network(plan, plan, channels=4, cells=3, classes=10, in_channels=3)
    >>> network(torch.ones(2, 3, 16, 16)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self,
        normal: CellPlan,
        reduction: CellPlan,
        *,
        channels: int,
        cells: int,
        classes: int,
        in_channels: int,
    ) -> None:
        super().__init__()
        wide = 3 * channels
        stem = Conv2d(in_channels, wide, 3, padding=1, bias=False)
        self.stem = nn.Sequential(stem, nn.BatchNorm2d(wide))
        self.cells = nn.ModuleList()
        before, last, halved = wide, wide, False
        for number in range(cells):
            halves = number in (cells // 3, 2 * cells // 3)
            channels *= 1 + halves
            plan = reduction if halves else normal
            self.cells.append(_Cell(plan, before, last, channels, halves=halves, halved=halved))
            before, last, halved = last, NODES * channels, halves
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), Linear(last, classes))

    def forward(self, x: Tensor) -> Tensor:
        """Images [N, C, H, W] -> logits [N, classes]."""
        before = last = self.stem(x)
        for cell in self.cells:
            before, last = last, cell(before, last)
        out: Tensor = self.head(last)
        return out


class _Cell(nn.Module):
    """Four nodes, each the sum of two operations on earlier nodes or on the inputs.

    `halves` says that the operations on the inputs have stride two. `halved` says that those of the
    previous cell had, so that the first input is twice as large as the second.
    """

    def __init__(
        self, plan: CellPlan, before: int, last: int, channels: int, *, halves: bool, halved: bool
    ) -> None:
        super().__init__()
        self.sources = [source for _, source in plan]
        self.first = (
            FactorizedReduce(before, channels, 2) if halved else relu_conv_bn(before, channels, 1)
        )
        self.second = relu_conv_bn(last, channels, 1)
        self.operations = nn.ModuleList(
            _operation(name, channels, 2 if halves and source < 2 else 1) for name, source in plan
        )

    def forward(self, before: Tensor, last: Tensor) -> Tensor:
        values = [self.first(before), self.second(last)]
        for node in range(NODES):
            edges = range(2 * node, 2 * node + 2)
            one, two = (self.operations[edge](values[self.sources[edge]]) for edge in edges)
            values.append(one + two)
        return torch.cat(values[2:], 1)


def _operation(name: str, channels: int, stride: int) -> nn.Module:
    if name == "skip_connect":
        return nn.Identity() if stride == 1 else FactorizedReduce(channels, channels, stride)
    if name == "max_pool_3x3":
        return nn.MaxPool2d(3, stride, padding=1)
    if name == "avg_pool_3x3":
        return nn.AvgPool2d(3, stride, padding=1, count_include_pad=False)
    kernel = int(name[-1])
    if name.startswith("dil"):
        return _separable(channels, kernel, stride, dilation=2)
    return _separable(channels, kernel, stride).extend(_separable(channels, kernel))


def _separable(channels: int, kernel: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """ReLU, a depthwise and a 1x1 convolution, and BatchNorm."""
    padding = dilation * (kernel - 1) // 2
    deep = Conv2d(
        channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False
    )
    mixed = Conv2d(channels, channels, 1, bias=False)
    return nn.Sequential(nn.ReLU(), deep, mixed, nn.BatchNorm2d(channels))
