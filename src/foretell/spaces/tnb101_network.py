"""The networks of TransNAS-Bench-101.

Duan et al. 2021, arXiv:2105.11871: a stem that divides the resolution by four, modules of two cells
or residual blocks each, and the head of a task. The first cell of a module keeps the size of its
input, doubles the channels, halves the resolution, or does both.
"""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from foretell.spaces.blocks import FactorizedReduce, relu_conv_bn
from foretell.spaces.initialise import Conv2d, initialise, normal_fan_out
from foretell.spaces.nb201_network import EDGES, Cell, Edge, live_edges
from foretell.spaces.tnb101_tasks import with_head

__all__ = ["MICRO", "MODULES", "OPERATIONS", "cell", "halvings", "network", "residual_block"]

OPERATIONS = ("none", "skip_connect", "conv_1x1", "conv_3x3")
MODULES = ("same", "channels x2", "resolution /2", "channels x2, resolution /2")
"""The effect of the modules with the benchmark's digits 1 to 4."""
MICRO = (3, 0, 3, 0, 3)
"""The modules of all networks of the cell space, 41414 in the benchmark's digits."""

Block = Callable[[int, int, int], nn.Module]
"""A function from input channels, output channels and stride to a cell or a residual block."""


def halvings(modules: Sequence[int]) -> int:
    """The number of times that the stem and the modules halve the resolution.

    >>> halvings(MICRO)
    5
    """
    return 2 + sum(module >= 2 for module in modules)


def network(
    modules: Sequence[int],
    block: Block,
    seed: int,
    *,
    channels: int,
    blocks: int,
    classes: int,
    in_channels: int,
    task: str,
    features: int,
) -> nn.Module:
    """The network in training mode, with convolutions drawn as the benchmark's authors do.

    >>> model = network(
    ...     (3, 0), residual_block, 0, channels=4, blocks=1, classes=2, in_channels=1,
    ...     task="class_scene", features=8,
    ... )
    >>> [name for name, _ in model.backbone.named_children()]
    ['stem', 'module1', 'module2']
    """
    backbone = nn.Sequential()
    backbone.add_module("stem", _stem(in_channels, channels))
    width = channels
    for number, module in enumerate(modules, start=1):
        wider, stride = width * (1 + module % 2), 1 + module // 2
        row = nn.Sequential(block(width, wider, stride))
        row.extend(block(wider, wider, 1) for _ in range(blocks - 1))
        backbone.add_module(f"module{number}", row)
        width = wider
    initialise(backbone, seed, normal_fan_out)
    return with_head(
        backbone, task, seed,
        width=width, halvings=halvings(modules), classes=classes, in_channels=in_channels,
        features=features,
    )  # fmt: skip


def _stem(in_channels: int, channels: int) -> nn.Sequential:
    """Two 3x3 convolutions of stride two, the first with half the channels."""
    half = max(channels // 2, 1)
    first = Conv2d(in_channels, half, 3, 2, 1, bias=False)
    return nn.Sequential(first, nn.BatchNorm2d(half), relu_conv_bn(half, channels, 3, 2))


def cell(arch: tuple[int, ...], wide_in: int, wide_out: int, stride: int) -> nn.Module:
    """The cell of an architecture; the edges from its input change channels and resolution.

    Like the cells of NAS-Bench-201, it computes only its live edges.
    """
    operations: dict[Edge, nn.Module] = {}
    for (target, source), operation in zip(EDGES, arch, strict=True):
        sizes = (wide_out, wide_out, 1) if source else (wide_in, wide_out, stride)
        if operation:
            operations[target, source] = _operation(OPERATIONS[operation], *sizes)
    return _StridedCell(operations, live_edges(arch, zero_fed=False), wide_out // wide_in, stride)


def _operation(name: str, wide_in: int, wide_out: int, stride: int) -> nn.Module:
    if name != "skip_connect":
        return relu_conv_bn(wide_in, wide_out, 3 if name == "conv_3x3" else 1, stride)
    if (wide_in, stride) == (wide_out, 1):
        return nn.Identity()
    return FactorizedReduce(wide_in, wide_out, stride)


class _StridedCell(Cell):
    """A cell whose edges from its input may change the channels and have a stride."""

    def __init__(
        self, operations: dict[Edge, nn.Module], live: tuple[Edge, ...], wider: int, stride: int
    ) -> None:
        super().__init__(operations, live)
        self.wider, self.stride = wider, stride

    def zero(self, x: Tensor) -> Tensor:
        """Zeros of the size of the nodes."""
        return x[:, :, :: self.stride, :: self.stride].repeat(1, self.wider, 1, 1) * 0


class _Residual(nn.Module):
    """Two 3x3 convolutions, each after a ReLU, and a skip, with a 1x1 convolution if necessary."""

    def __init__(self, wide_in: int, wide_out: int, stride: int) -> None:
        super().__init__()
        self.conv_a = relu_conv_bn(wide_in, wide_out, 3, stride)
        self.conv_b = relu_conv_bn(wide_out, wide_out, 3, 1)
        self.shortcut = nn.Sequential()
        if (wide_in, stride) != (wide_out, 1):
            self.shortcut.append(Conv2d(wide_in, wide_out, 1, stride, bias=False))
            self.shortcut.append(nn.BatchNorm2d(wide_out))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.shortcut(x) + self.conv_b(self.conv_a(x))
        return out


residual_block: Block = _Residual
"""The block of all networks of the macro space."""
