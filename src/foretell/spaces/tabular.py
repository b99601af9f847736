"""Networks for tables: multilayer perceptrons and ResNets.

Gorishniy et al. 2021, arXiv:2106.11959.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from foretell.spaces.blocks import Residual
from foretell.spaces.ready import ReadyMade
from foretell.spaces.space import Json

__all__ = ["Tabular"]

NORMS: Mapping[str, Callable[[int], nn.Module]] = {"BN": nn.BatchNorm1d, "LN": nn.LayerNorm}
OPTIONS: Mapping[str, tuple[Json, ...]] = {
    "kind": ("mlp", "resnet"),
    "depth": (1, 2, 4, 8),
    "width": (64, 128, 256, 512),
    "norm": ("no", "BN", "LN"),
    "dropout": (0.0, 0.2),
    "inside": (1, 2),
}


def network(
    kind: str,
    depth: int,
    width: int,
    norm: str,
    dropout: float,
    inside: int,
    *,
    classes: int = 2,
    features: int = 30,
) -> nn.Sequential:
    """The layers or blocks of the kind, and a linear classifier.

    A layer of a perceptron is linear, then norm, ReLU and dropout. A ResNet begins with a
    linear layer and ends with norm and ReLU; a block is norm, linear, ReLU, dropout, linear and
    dropout.

    >>> import torch
    >>> network("resnet", 2, 64, "LN", 0.2, 1, features=5)(torch.ones(3, 5)).shape
    torch.Size([3, 2])
    """
    normed = [NORMS[norm](width) for _ in range(depth + 1)] if norm in NORMS else []
    model = nn.Sequential()
    if kind == "resnet":
        model.append(nn.Linear(features, width))
    for number in range(depth):
        before = normed[number : number + 1]
        if kind == "resnet":
            model.append(Residual(*before, *_block(width, inside * width, dropout)))
        else:
            model.append(nn.Linear(width if number else features, width))
            model.extend([*before, nn.ReLU(), *_dropped(dropout)])
    if kind == "resnet":
        model.extend([*normed[depth:], nn.ReLU()])
    return model.append(nn.Linear(width, classes))


def same(**options: Json) -> dict[str, Json]:
    """The options with the first width inside of blocks where there are no blocks."""
    return options | {"inside": 1} if options["kind"] == "mlp" else options


def _block(width: int, inside: int, dropout: float) -> list[nn.Module]:
    """The layers of a residual block, after its norm."""
    first = [nn.Linear(width, inside), nn.ReLU(), *_dropped(dropout)]
    return [*first, nn.Linear(inside, width), *_dropped(dropout)]


def _dropped(rate: float) -> list[nn.Module]:
    """Dropout, if the rate is not zero."""
    return [nn.Dropout(rate)] if rate else []


@dataclass(frozen=True)
class Tabular(ReadyMade):
    """Networks for tables: 384 perceptrons and ResNets (288 unique) of six choices.

    The choices are the kind, the number of layers or residual blocks, the width, the normalisation,
    the dropout, and for a ResNet the width inside of a block as a multiple of the width.

    >>> space = Tabular()
    >>> space.parse("resnet,4,128,BN,0.2,2")
    (1, 2, 1, 1, 1, 1)
    """

    classes: int = 2
    features: int = 30

    name: ClassVar[str] = "tabular"
    options: ClassVar[Mapping[str, tuple[Json, ...]]] = OPTIONS
    network = staticmethod(network)
    same = staticmethod(same)
