"""Networks of the DARTS space, of any number of cells and channels (Liu et al. 2019).

With 32 channels and 8 cells, they have as many parameters as NAS-Bench-Suite-Zero published for
NAS-Bench-301: the batch normalisations in the operations have neither scale nor shift.
"""

import ast

import torch
from torch import Tensor, nn

NAMES = ("max_pool", "avg_pool", "skip", "sep_3", "sep_5", "dil_3", "dil_5")
"""The operations in the order in which NASLib numbers them."""

Cell = list[tuple[int, int]]
"""Two (input, operation) for each of four nodes."""


def convolution(
    before: int, after: int, kernel: int, stride: int, dilation: int = 1
) -> list[nn.Module]:
    """ReLU, a depthwise and a pointwise convolution, and BatchNorm."""
    padding = dilation * (kernel - 1) // 2
    deep = nn.Conv2d(before, before, kernel, stride, padding, dilation, groups=before, bias=False)
    mixed = nn.Conv2d(before, after, 1, bias=False)
    return [nn.ReLU(), deep, mixed, nn.BatchNorm2d(after, affine=False)]


class Halved(nn.Module):
    """A skip with stride 2: two pointwise convolutions, of even and of odd pixels."""

    def __init__(self, before: int, after: int, *, affine: bool = True) -> None:
        super().__init__()
        self.even = nn.Conv2d(before, after // 2, 1, 2, bias=False)
        self.odd = nn.Conv2d(before, after - after // 2, 1, 2, bias=False)
        self.norm = nn.BatchNorm2d(after, affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        """Both, side by side."""
        x = torch.relu(x)
        out: Tensor = self.norm(torch.cat([self.even(x), self.odd(x[:, :, 1:, 1:])], 1))
        return out


def operation(name: str, channels: int, stride: int) -> nn.Module:
    """One of the seven operations."""
    if name == "skip":
        return nn.Identity() if stride == 1 else Halved(channels, channels, affine=False)
    if name.endswith("pool"):
        kind = nn.MaxPool2d if name == "max_pool" else nn.AvgPool2d
        more = {} if name == "max_pool" else {"count_include_pad": False}
        return nn.Sequential(kind(3, stride, 1, **more), nn.BatchNorm2d(channels, affine=False))
    kernel = int(name[-1])
    if name.startswith("dil"):
        return nn.Sequential(*convolution(channels, channels, kernel, stride, 2))
    first = convolution(channels, channels, kernel, stride)
    return nn.Sequential(*first, *convolution(channels, channels, kernel, 1))


class DartsCell(nn.Module):
    """A cell: four nodes, each the sum of two operations on earlier ones."""

    def __init__(
        self, cell: Cell, widths: tuple[int, int], channels: int, reduces: bool, after: bool
    ) -> None:
        super().__init__()
        self.cell = cell
        one = nn.Sequential(
            nn.ReLU(), nn.Conv2d(widths[0], channels, 1, bias=False), nn.BatchNorm2d(channels)
        )
        self.first = Halved(widths[0], channels) if after else one
        self.second = nn.Sequential(
            nn.ReLU(), nn.Conv2d(widths[1], channels, 1, bias=False), nn.BatchNorm2d(channels)
        )
        self.operations = nn.ModuleList(
            operation(NAMES[kind], channels, 2 if reduces and given < 2 else 1)
            for given, kind in cell
        )

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """All four nodes, side by side."""
        states = [self.first(first), self.second(second)]
        made = iter(zip(self.cell, self.operations, strict=True))
        for (one, f), (other, g) in zip(made, made, strict=True):
            states.append(f(states[one[0]]) + g(states[other[0]]))
        return torch.cat(states[2:], 1)


class Darts(nn.Module):
    """The network of a normal and a reduction cell, given as NASLib writes them."""

    def __init__(self, text: str, channels: int, cells: int, classes: int = 10) -> None:
        super().__init__()
        normal, reduction = ast.literal_eval(text)
        width = 3 * channels
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        )
        widths, halved = (width, width), False
        self.cells = nn.ModuleList()
        for place in range(cells):
            reduces = place in (cells // 3, 2 * cells // 3)
            channels *= 1 + reduces
            chosen = reduction if reduces else normal
            self.cells.append(DartsCell(chosen, widths, channels, reduces, halved))
            widths, halved = (widths[1], 4 * channels), reduces
        self.classify = nn.Linear(widths[1], classes)

    def forward(self, x: Tensor) -> Tensor:
        """Classify by the mean over the pixels of the last cell's output."""
        first = second = self.stem(x)
        for cell in self.cells:
            first, second = second, cell(first, second)
        return self.classify(second.mean((2, 3)))
