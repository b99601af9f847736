"""SynFlow: how much signal could flow through all the weights at once?

Tanaka et al. 2020, arXiv:2006.05467.
"""

import math

import torch
from torch import Tensor


def synflow(
    flow_weights: dict[str, Tensor], flow_grads: dict[str, Tensor], flow_exponent: int
) -> Tensor:
    """Natural logarithm of Σ |w · ∂R/∂w|, R being the summed output of the network |w| on ones.

    Normalisations (batch, layer, group, instance, RMS) and dropout are bypassed, and attention is
    spread evenly: each would otherwise make R blind to the scale of what flows. The sum itself
    reaches 1e100 on ordinary networks, so R comes as a number times 2**flow_exponent and only the
    logarithm is formed.

    Fails where: activations are bounded: behind ReLU6 nothing of a large flow is left to
    differentiate. Depth differs: the sum is exponential in it. It grows with the number of weights
    and ranks much as `params` does; it sees neither data nor normalisation. Weak on NAS-Bench-101
    (0.37), but among the scores of its paper the one that never turns against accuracy.

    >>> from torch import tensor
    >>> synflow({"a": tensor([1.0, 2.0])}, {"a": tensor([0.5, 0.25])}, 0)
    tensor(0., dtype=torch.float64)
    >>> synflow({"a": tensor([1.0, 2.0])}, {"a": tensor([0.5, 0.25])}, 10_000)
    tensor(6931.4718, dtype=torch.float64)
    """
    flows = [(w * flow_grads[name]).abs().double().sum() for name, w in flow_weights.items()]
    total = torch.stack(flows).sum()
    if total == 0:
        raise ArithmeticError("no signal flows from the input to the output")
    return total.log() + flow_exponent * math.log(2)
