"""Initial weights that depend only on a seed and on the name and shape of each parameter.

PyTorch draws all weights from one global generator, so the weights of the last layer depend on how
many numbers were drawn for the first layers. Here, no global state is read or changed, and a layer
that two networks have in common has the same weights in both.
"""

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Generator, Tensor, nn

from foretell.errors import ForetellError
from foretell.seeds import derived_seed

__all__ = [
    "Conv1d",
    "Conv2d",
    "ConvTranspose2d",
    "Draw",
    "Embedding",
    "Linear",
    "initialise",
    "normal",
    "normal_fan_out",
    "uniform_fan_in",
]

Draw: TypeAlias = Callable[[nn.Module, str, Generator], Tensor]
"""A function from a layer, the name of one of its parameters and a generator to values."""


_WEIGHTED = (
    nn.Embedding,
    nn.Linear,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)


_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.GroupNorm, nn.LayerNorm)


def uniform_fan_in(layer: nn.Module, name: str, generator: Generator) -> Tensor:
    """PyTorch's default: weights and biases uniform within +-1/sqrt(fan_in).

    He et al. 2015, arXiv:1502.01852, with a = sqrt 5.
    """
    weight = layer.get_parameter("weight")
    bound = max(weight[0].numel(), 1) ** -0.5  # weight[0] is the fan-in of one unit
    drawn = torch.empty(layer.get_parameter(name).shape, dtype=torch.float32)
    return drawn.uniform_(-bound, bound, generator=generator)


def normal_fan_out(layer: nn.Module, name: str, generator: Generator) -> Tensor:
    """Convolutions N(0, 2 / (kernel area * output channels)), linear N(0, 0.01^2), biases 0.

    The code of arXiv:2101.08134 initialises the networks of NAS-Bench-101 in this way.
    """
    parameter = layer.get_parameter(name)
    drawn = torch.zeros(parameter.shape, dtype=torch.float32)
    if name == "bias":
        return drawn
    std = 0.01
    if not isinstance(layer, nn.Linear):
        assert isinstance(layer.out_channels, int)
        std = (2 / (parameter[0, 0].numel() * layer.out_channels)) ** 0.5
    return drawn.normal_(0, std, generator=generator)


def normal(std: float) -> Draw:
    """Weights N(0, std^2), biases 0."""

    def draw(layer: nn.Module, name: str, generator: Generator) -> Tensor:
        drawn = torch.zeros(layer.get_parameter(name).shape, dtype=torch.float32)
        return drawn if name == "bias" else drawn.normal_(0, std, generator=generator)

    return draw


def initialise(module: nn.Module, seed: int, draw: Draw = uniform_fan_in) -> None:
    """Initialise every parameter and every BatchNorm statistic of `module`, in place.

    `draw` returns the values for convolution, linear and embedding layers, by default by PyTorch's
    formulas for the first two; normalisation layers start with weight 1, bias 0, mean 0 and
    variance 1. A parameter of several layers has the values for the first of them. Numbers are
    drawn in float32 on the CPU and then converted, so a network has the same weights in any
    precision and on any device.

    Raises ForetellError for any other layer with parameters.

    >>> a, b = nn.Linear(2, 1), nn.Linear(2, 1)
    >>> initialise(a, seed=0)
    >>> initialise(b, seed=0)
    >>> torch.equal(a.weight, b.weight)
    True
    """
    generator, drawn = Generator(), set[Tensor]()
    with torch.no_grad():
        for prefix, layer in module.named_modules():
            if isinstance(layer, _NORMS):
                _reset(layer)
            elif isinstance(layer, _WEIGHTED):
                for name, parameter in layer.named_parameters(recurse=False):
                    if parameter in drawn:
                        continue
                    drawn.add(parameter)
                    full_name = f"{prefix}.{name}" if prefix else name
                    generator.manual_seed(derived_seed(seed, full_name))
                    parameter.copy_(draw(layer, name, generator))
            elif next(layer.parameters(recurse=False), None) is not None:
                raise ForetellError(
                    f"{prefix or 'the module'!r} is of type {type(layer).__name__}; initialise "
                    f"expects convolution, linear, embedding and normalisation layers: "
                    f"set the parameters of that layer yourself"
                )


def _reset(norm: nn.Module) -> None:
    """Set weights and variances to 1, and biases, means and counters to 0."""
    for name, tensor in (*norm.named_parameters(recurse=False), *norm.named_buffers(recurse=False)):
        tensor.fill_(1 if name in ("weight", "running_var") else 0)


class Conv1d(nn.Conv1d):
    """A convolution over time with uninitialised weights."""

    def reset_parameters(self) -> None:
        """Do nothing; `initialise` sets the weights."""


class Conv2d(nn.Conv2d):
    """A two-dimensional convolution with uninitialised weights."""

    def reset_parameters(self) -> None:
        """Do nothing; `initialise` sets the weights."""


class ConvTranspose2d(nn.ConvTranspose2d):
    """A two-dimensional transposed convolution with uninitialised weights."""

    def reset_parameters(self) -> None:
        """Do nothing; `initialise` sets the weights."""


class Linear(nn.Linear):
    """A linear layer with uninitialised weights."""

    def reset_parameters(self) -> None:
        """Do nothing; `initialise` sets the weights."""


class Embedding(nn.Embedding):
    """A table of vectors with uninitialised weights."""

    def reset_parameters(self) -> None:
        """Do nothing; `initialise` sets the weights."""
