"""The acoustic models of NAS-Bench-ASR.

Mehrotra et al. 2021, ICLR: four blocks and a linear layer on each remaining frame. A block is a
convolution over time with kernel size 8 (strides 1, 1, 2 and 2) followed by identical cells, with a
LayerNorm after the convolution and after every cell. Every operation looks at most four frames
ahead.

A cell contains all of its operations but computes only those that its output depends on.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foretell.spaces.initialise import Conv1d, Linear

__all__ = ["OPERATIONS", "live_nodes", "network"]

OPERATIONS = ("linear", "conv5", "conv5d2", "conv7", "conv7d2", "zero")
_ZERO = OPERATIONS.index("zero")
_KERNELS = {"conv5": (5, 1), "conv5d2": (5, 2), "conv7": (7, 1), "conv7d2": (7, 2)}
"""The kernel size and dilation of each operation; convolutions in the cells are grouped."""

_WIDTHS = (3, 4, 5, 6)  # of the blocks, in multiples of groups * group_width
_STRIDES = (1, 1, 2, 2)
_KERNEL = 8
_LOOK_AHEAD = 4  # frames, divided by the stride
_CEILING = 20.0  # of every ReLU
_EPSILON = 1e-3
Nodes = tuple[tuple[int, ...], ...]


def network(
    nodes: Nodes,
    *,
    features: int,
    phonemes: int,
    groups: int,
    group_width: int,
    cells: int,
    lstm: int,
    dropout: float,
) -> nn.Module:
    """Features [batch, time, features] -> logits [batch, time / 4 rounded up, phonemes + 1].

    The network is in training mode, with uninitialised weights; the last class is the blank.

    >>> model = network(
    ...     ((0, 1), (1, 0, 1), (5, 1, 1, 0)), features=5, phonemes=3, groups=2, group_width=1,
    ...     cells=1, lstm=0, dropout=0.0,
    ... )
    >>> [name for name, _ in model.named_children()]
    ['block1', 'block2', 'block3', 'block4', 'head']
    """
    model = nn.Sequential()
    wide_in = features
    for block, (share, stride) in enumerate(zip(_WIDTHS, _STRIDES, strict=True)):
        width = share * groups * group_width
        parts: list[nn.Module] = [
            _Convolution(wide_in, width, _KERNEL, stride=stride),
            _norm(width),
        ]
        parts += [_Cell(nodes, width, groups, dropout) for _ in range(cells + block)]
        model.add_module(f"block{block + 1}", nn.Sequential(*parts))
        wide_in = width
    model.add_module("head", nn.Sequential(*_head(wide_in, lstm, phonemes + 1, dropout)))
    return model


def _head(width: int, lstm: int, classes: int, dropout: float) -> Iterator[nn.Module]:
    if lstm:
        yield nn.Dropout(dropout)
        yield _LSTM(width, lstm)
    yield Linear(lstm or width, classes)


def live_nodes(nodes: Nodes) -> tuple[int, ...]:
    """The nodes from 1 to 3 that the output of the cell depends on.

    >>> live_nodes(((0, 0), (0, 0, 0), (5, 0, 1, 0)))  # node 3 equals node 1
    (1, 3)
    >>> live_nodes(((0, 0), (0, 0, 0), (5, 1, 0, 0)))  # node 3 equals the input
    (3,)
    """
    live = {len(nodes)}
    for node in range(len(nodes), 0, -1):
        operation, *skips = nodes[node - 1]
        if node in live:
            live |= {source for source, skip in enumerate(skips) if skip}
            live |= set() if operation == _ZERO else {node - 1}
    return tuple(sorted(live - {0}))


class _Cell(nn.Module):
    """Each node is an operation on the previous node, plus the nodes that its skips come from."""

    def __init__(self, nodes: Nodes, width: int, groups: int, dropout: float) -> None:
        super().__init__()
        self.operations = nn.ModuleDict(
            {
                str(number): _operation(OPERATIONS[operation], width, groups, dropout)
                for number, (operation, *_) in enumerate(nodes, start=1)
                if operation != _ZERO
            }
        )
        self.sources = [
            [source for source, skip in enumerate(skips) if skip] for _, *skips in nodes
        ]
        self.live = live_nodes(nodes)
        self.norm = _norm(width)

    def forward(self, x: Tensor) -> Tensor:
        values = {0: x}
        for number in self.live:
            terms = [values[source] for source in self.sources[number - 1]]
            if str(number) in self.operations:
                terms.insert(0, self.operations[str(number)](values[number - 1]))
            # without terms, the node is zero, with a gradient of zero for the input
            total = terms[0] if terms else x * 0
            for term in terms[1:]:
                total = total + term
            values[number] = total
        normalised: Tensor = self.norm(values[len(self.sources)])
        return normalised


def _operation(name: str, width: int, groups: int, dropout: float) -> nn.Module:
    if name == "linear":
        return nn.Sequential(Linear(width, width), _CappedReLU(), nn.Dropout(dropout))
    kernel, dilation = _KERNELS[name]
    convolution = _Convolution(width, width, kernel, dilation=dilation, groups=groups)
    return nn.Sequential(convolution, nn.Dropout(dropout))


class _Convolution(nn.Module):
    """A zero-padded convolution over the time of [batch, time, channels], then a capped ReLU."""

    def __init__(
        self,
        wide_in: int,
        wide_out: int,
        kernel: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
    ) -> None:
        super().__init__()
        self.convolution = Conv1d(
            wide_in, wide_out, kernel, stride, dilation=dilation, groups=groups
        )
        self.activation = _CappedReLU()
        after = _LOOK_AHEAD // stride
        self.padding = ((kernel - 1) * dilation - after, after)

    def forward(self, x: Tensor) -> Tensor:
        padded = F.pad(x.transpose(1, 2), self.padding)
        activated: Tensor = self.activation(self.convolution(padded))
        return activated.transpose(1, 2)


class _CappedReLU(nn.Module):
    """min(max(x, 0), 20)."""

    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return torch.clamp(self.relu(x), max=_CEILING)


class _LSTM(nn.Module):
    """An LSTM over the time of [batch, time, features], with initial states of zero.

    It consists of linear layers, so that its weights are initialised like those of linear layers.
    As in PyTorch, the rows are those of the input, forget, cell and output gates.
    """

    def __init__(self, wide_in: int, units: int) -> None:
        super().__init__()
        self.from_input = Linear(wide_in, 4 * units)
        self.from_state = Linear(units, 4 * units, bias=False)
        self.units = units

    def forward(self, x: Tensor) -> Tensor:
        state = torch.zeros(x.shape[0], self.units, dtype=x.dtype, device=x.device)
        memory, states = state, []
        for step in self.from_input(x).unbind(1):
            i, f, g, o = (step + self.from_state(state)).chunk(4, dim=-1)
            memory = torch.sigmoid(f) * memory + torch.sigmoid(i) * torch.tanh(g)
            state = torch.sigmoid(o) * torch.tanh(memory)
            states.append(state)
        return torch.stack(states, dim=1)


def _norm(width: int) -> nn.Module:
    return nn.LayerNorm(width, eps=_EPSILON)
