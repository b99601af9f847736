"""SWAP: how many different activity patterns over the samples do the units have?

Peng et al. 2024, "SWAP-NAS: Sample-Wise Activation Patterns for Ultra-Fast NAS", arXiv:2403.04161.
"""

import torch
from torch import Tensor


def swap(activation_patterns: int) -> Tensor:
    """The number of distinct activity patterns of units over the first 16 samples.

    A pattern has one bit per sample. The bit of a unit is 1 where the input of its activation
    function is positive; units of all layers and positions are compared. Activation functions are
    those of `nwot`. Weights are drawn from N(0, 1), with scales 1 and shifts 0 in normalisations.
    Only the first 16 samples of the minibatch are run, in training mode. The authors average over
    32 draws, for which you can use several seeds here (`rank(..., seeds=range(32))`). The maximum
    is 2^16 with 16 or more samples and 2^B with B < 16 samples, and never more than the number of
    units. With few samples, large networks reach the maximum and cannot be distinguished. Undefined
    if there is no such activation function.

    The authors' second form multiplies it by exp(−(#params − μ)² / σ), where μ and σ are chosen for
    each space by accuracies. This is not training-free, so it is not implemented.

    Limitations: it grows with the number of units, hence with depth, width and resolution: compare
    it with `flops`. Skip connections and pooling matter only through the values that they pass on,
    and labels do not matter.

    >>> swap(300)
    tensor(300)
    """
    return torch.tensor(activation_patterns)
