"""Weights drawn from a seed and each parameter's own name.

PyTorch draws all weights from one global stream, so a network's last layer depends on how many
numbers its first layers took. Here a parameter depends on (seed, its name, its shape) alone:
nothing global is read or moved, and two networks that share a layer share its weights.
"""

import torch
from torch import Generator, Tensor, nn

from foretell.engine.isolate import derived_seed
from foretell.errors import ForetellError

__all__ = ["initialise"]

_WEIGHTED = (
    nn.Linear,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.GroupNorm, nn.LayerNorm)


def initialise(module: nn.Module, seed: int) -> None:
    """Fill every parameter and every BatchNorm statistic of `module`, in place.

    The formulas are PyTorch's defaults: convolution and linear weights and biases are uniform on
    +-1/sqrt(fan_in) (He et al. 2015, arXiv:1502.01852, with a = sqrt 5), normalisation layers
    start at weight 1, bias 0, mean 0, variance 1. Numbers are drawn in float32 on the CPU and
    then converted, so a network has the same weights in any precision and on any device.

    Raises ForetellError for a layer with parameters that is none of these.

    >>> a, b = nn.Linear(2, 1), nn.Linear(2, 1)
    >>> initialise(a, seed=0)
    >>> initialise(b, seed=0)
    >>> torch.equal(a.weight, b.weight)
    True
    """
    generator = Generator()
    with torch.no_grad():
        for prefix, layer in module.named_modules():
            if isinstance(layer, _NORMS):
                _reset(layer)
            elif isinstance(layer, _WEIGHTED):
                _draw(layer, prefix, seed, generator)
            elif next(layer.parameters(recurse=False), None) is not None:
                raise ForetellError(
                    f"initialise knows convolution, linear and normalisation layers, but "
                    f"{prefix or 'the module'!r} is of type {type(layer).__name__}; "
                    f"fill that layer's parameters yourself"
                )


def _draw(layer: nn.Module, prefix: str, seed: int, generator: Generator) -> None:
    weight: Tensor = layer.get_parameter("weight")
    bound = max(weight[0].numel(), 1) ** -0.5  # a row of the weight is one unit's fan-in
    for name, parameter in layer.named_parameters(prefix, recurse=False):
        generator.manual_seed(derived_seed(seed, name))
        drawn = torch.empty(parameter.shape, dtype=torch.float32)
        parameter.copy_(drawn.uniform_(-bound, bound, generator=generator))


def _reset(norm: nn.Module) -> None:
    """Ones for what scales, zeros for what shifts or counts."""
    for name, tensor in (*norm.named_parameters(recurse=False), *norm.named_buffers(recurse=False)):
        tensor.fill_(1 if name in ("weight", "running_var") else 0)
