"""Which modules are found to be the blocks of a network, and the features between them."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from foretell.engine.blocks import Blocks, BlockWatch
from foretell.errors import Undefined
from tests.support.models import MODELS, Cell, EncoderLayer, conv, head, make


def found(model: nn.Module, *inputs: Any) -> Blocks:
    """The blocks of a model that runs on some inputs."""
    with BlockWatch(model) as watch:
        model(*inputs)
    return watch.blocks()


def names(model: nn.Module, *inputs: Any) -> list[str]:
    """The names of the blocks."""
    return [unit.name for unit in found(model, *inputs).units]


def images(*shape: int) -> Tensor:
    """Images of N(0, 1)."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", MODELS)
def test_the_blocks_are_those_written_down(name: str) -> None:
    model, (inputs, _) = make(name)
    given = tuple(inputs.values()) if isinstance(inputs, dict) else (inputs,)
    if MODELS[name].blocks:
        assert tuple(names(model, *given)) == MODELS[name].blocks
    else:
        with pytest.raises(Undefined, match="no repeated blocks found"):
            names(model, *given)


def conv_bn(before: int, after: int) -> nn.Sequential:
    """A convolution with its normalisation and activation."""
    return nn.Sequential(conv(before, after), nn.BatchNorm2d(after), nn.ReLU())


class Stage(nn.Module):
    """A stage with a list of blocks of its own, and a layer before them."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.down = conv_bn(4, 4)
        self.blocks = nn.ModuleList(Cell(4, 4, 1) for _ in range(blocks))

    def forward(self, x: Tensor) -> Tensor:
        """All in turn."""
        x = self.down(x)
        for block in self.blocks:
            x = block(x)
        return x


class Graph(nn.Module):
    """A cell: a graph of operations, each of several layers, which do not form a chain."""

    def __init__(self) -> None:
        super().__init__()
        two = lambda: nn.Sequential(conv(4, 4), nn.ReLU(), conv(4, 4))  # noqa: E731
        self.operations = nn.ModuleList(two() for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        """Two side by side, and one behind both."""
        both = self.operations[0](x) + self.operations[1](x)
        return x + self.operations[2](both)


class Skips(nn.Module):
    """Cells that are given the outputs of the two cells before them, and a head for training."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv_bn(3, 4)
        self.cells = nn.ModuleList(Joined() for _ in range(4))
        self.aside = nn.Sequential(conv(4, 4), nn.ReLU(), *head(4))
        self.head = nn.Sequential(*head(4))

    def forward(self, x: Tensor) -> Any:
        """Logits, and those of the other head."""
        before = now = self.stem(x)
        for place, cell in enumerate(self.cells):
            before, now = now, cell(before, now)
            if place == 1:
                other = self.aside(now)
        return self.head(now), other


class Joined(nn.Module):
    """A cell with two inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = conv_bn(4, 4), conv_bn(4, 4)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Their sum."""
        return self.left(x) + self.right(y)


class Wrapped(nn.Module):
    """A network within another module, as a model of transformers is in one with a head."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Any:
        """What the network returns."""
        return self.network(x)


class Repeated(nn.Module):
    """One layer that runs three times, as in ALBERT."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.layer = nn.Linear(5, 8), EncoderLayer()

    def forward(self, x: Tensor) -> Tensor:
        """The tokens after three runs."""
        x = self.embed(x)
        for _ in range(3):
            x = self.layer(x)
        return x


class Attributes(nn.Module):
    """Blocks that are attributes, each by its own name."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.one, self.two = conv_bn(3, 4), Cell(4, 4, 1), Cell(4, 4, 1)
        self.narrow, self.classify = Cell(4, 6, 2), nn.Sequential(*head(6))

    def forward(self, x: Tensor) -> Any:
        """Logits."""
        return self.classify(self.narrow(self.two(self.one(self.stem(x)))))


def chain(*blocks: nn.Module) -> nn.Module:
    """A stem, some blocks and a head."""
    return nn.Sequential(conv_bn(3, 4), *blocks, nn.Sequential(*head(4)))


NETS: dict[str, tuple[Callable[[], nn.Module], list[str]]] = {
    "a stage gives way to its blocks": (
        lambda: chain(Stage(2), Stage(3)),
        ["1.blocks.0", "1.blocks.1", "2.blocks.0", "2.blocks.1", "2.blocks.2"],
    ),
    "a cell does not give way to its operations": (
        lambda: chain(Graph(), Graph(), Graph()),
        ["1", "2", "3"],
    ),
    "cells of two inputs; the other head is aside": (
        Skips,
        ["cells.0", "cells.1", "cells.2", "cells.3"],
    ),
    "a wrapper is looked into": (
        lambda: Wrapped(Wrapped(Attributes())),
        ["network.network.one", "network.network.two", "network.network.narrow"],
    ),
    "attributes": (Attributes, ["one", "two", "narrow"]),
    "single layers in lists, where there is nothing else": (
        lambda: nn.Sequential(conv_bn(3, 4), conv_bn(4, 4), conv_bn(4, 6), *head(6)),
        ["0", "1", "2"],
    ),
    "stems and heads are left out": (
        lambda: nn.Sequential(
            conv_bn(3, 4), conv_bn(4, 4), Cell(4, 4, 1), Cell(4, 4, 1), conv_bn(4, 8), *head(8)
        ),
        ["2", "3"],
    ),
    "what is between two blocks is one": (
        lambda: chain(Cell(4, 4, 1), conv_bn(4, 4), nn.ReLU(), Cell(4, 4, 1)),
        ["1", "2", "4"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("net", NETS)
def test_blocks(net: str) -> None:
    build, expected = NETS[net]
    assert names(build(), images(2, 3, 8, 8)) == expected


def test_a_layer_that_runs_again_is_one_more_block() -> None:
    assert names(Repeated(), images(2, 4, 5)) == ["layer"] * 3


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Flatten(), nn.Linear(192, 4)),
        nn.Sequential(conv(3, 4), nn.ReLU(), conv(4, 4), nn.ReLU(), *head(4)),
        chain(Cell(4, 4, 1)),
    ],
    ids=["no lists", "a flat list of layers", "one block"],
)
def test_without_repeated_blocks_there_is_a_reason(model: nn.Module) -> None:
    with pytest.raises(Undefined, match="no two modules of one kind"):
        names(model, images(2, 3, 8, 8))


def test_features_are_those_before_anybody_writes_to_them() -> None:
    """The cells activate their inputs in place."""
    model, (inputs, _) = make("cells")
    blocks = found(model, inputs)
    assert len(blocks.boundaries) == 4
    stem = model[0](inputs)
    assert torch.equal(blocks.boundaries[0].features, stem)
    assert (stem < 0).any()
    first = model[1][0](stem.clone())
    assert torch.equal(blocks.boundaries[1].features, first)
    assert (first < 0).any()


def test_the_model_computes_what_it_computes_without_the_watch() -> None:
    for name in ("cells", "patches"):
        model, (inputs, _) = make(name)
        alone = model(inputs)
        with BlockWatch(model):
            watched = model(inputs)
        assert torch.equal(alone, watched)
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_steps_of_a_list_are_joined() -> None:
    class Steps(nn.Module):
        """A layer over a list of steps."""

        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3))

        def forward(self, steps: list[Tensor]) -> list[Tensor]:
            return [self.linear(step) for step in steps]

    class Layers(nn.Module):
        """Two of them."""

        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList([Steps(), Steps()])

        def forward(self, x: Tensor) -> Tensor:
            steps = list(x.unbind(1))
            for layer in self.layers:
                steps = layer(steps)
            return torch.stack(steps, 1)

    blocks = found(Layers(), images(2, 5, 3))
    assert [unit.name for unit in blocks.units] == ["layers.0", "layers.1"]
    assert [tuple(boundary.features.shape) for boundary in blocks.boundaries] == [(2, 5, 3)] * 3
