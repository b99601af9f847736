"""SynFlow: how much signal can flow through all the weights?

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
    replaced by uniform attention, since normalisations and softmax would make R independent of the
    scale of the signal. |w| is the absolute value of every parameter, biases and frozen ones
    included. Buffers and plain attributes, such as a mask, a table of positions or a fixed filter,
    keep their values. The sum reaches 1e100 on ordinary networks, so R is represented as a number
    times 2**flow_exponent, and only the logarithm is computed.

    Limitations: behind a bounded activation such as ReLU6, the derivative of a large flow is 0. The
    sum grows exponentially with the depth. It grows with the number of weights and ranks similarly
    to `params`; it depends neither on data nor on normalisation. It is weak on NAS-Bench-101
    (0.37), but it is the only score of arXiv:2101.08134 that never correlates negatively with
    accuracy.

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
