"""SWAP: how many different patterns of activity over the samples do the units show?

Peng et al. 2024, "SWAP-NAS: Sample-Wise Activation Patterns for Ultra-Fast NAS", arXiv:2403.04161.
"""

import torch
from torch import Tensor


def swap(activation_patterns: int) -> Tensor:
    """The number of different patterns of units, one bit for each of the first 16 samples.

    The bit of a unit is 1 where the input of its activation function is positive; units of all
    layers and positions are compared. Activation functions are those of `nwot`. Weights are drawn
    from N(0, 1), with scales 1 and shifts 0; the inputs are those of the minibatch, of which only
    the first 16 samples are run, in training mode. The authors average over 32 draws, as several
    seeds do here (`rank(..., seeds=range(32))`). The maximum is 2^16 with 16 samples or more, and
    2^B with fewer: a large network with few samples reaches it and cannot be told from a larger
    one, and neither is it ever above the number of units. Undefined if there is no such activation
    function.

    The authors' second form multiplies it by exp(−(#params − μ)² / σ), whose μ and σ are chosen for
    each space by accuracies; that is no training-free score, so it is not offered.

    Limitations: it grows with the number of units, hence with depth, width and resolution: compare
    it with `flops`. Skips and pooling matter only by what they pass on, and labels do not matter.

    >>> swap(300)
    tensor(300)
    """
    return torch.tensor(activation_patterns)
