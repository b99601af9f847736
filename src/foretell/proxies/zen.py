"""Zen-score: how much do the features change with the input, for Gaussian weights?

Lin et al. 2021, "Zen-NAS", arXiv:2102.01063, Algorithm 1.
"""

import torch
from torch import Tensor


def zen(feature_change: Tensor, norm_variances: list[Tensor]) -> Tensor:
    """log E‖f(x) − f(x + 0.01ε)‖₁ + Σ_BatchNorm log √(mean variance of its channels).

    Weights, x and ε are drawn from N(0, 1); f is the input of the last global pooling, which is an
    average or a sum, or the main output of a network without one; means that are computed for a
    normalisation or a gate are not pooling. The second term restores the scale that BatchNorm
    removes. Only the shape of the batch matters. The value depends on the random numbers, so use
    several seeds. As in the authors' code, the norm is the sum of absolute values (the paper uses
    the Frobenius norm). There are three differences from their code: the variances are those of the
    minibatch, whereas theirs are running averages that still contain 81 % of their initial value 1,
    which subtracts about 0.8 per BatchNorm; dropout draws the same mask for x and x + 0.01ε; and
    residual connections are kept, which their search removes and NASLib does not.

    Limitations: LayerNorm, GroupNorm and RMSNorm remove a scale that is not restored, and without
    any normalisation, deep networks overflow. It grows with depth and width, and is independent of
    the data, the initialisation, and whether the network can be trained.

    >>> from torch import tensor
    >>> zen(tensor(2.0), [tensor([3.0, 5.0]), tensor([1.0])])  # log 2 + log √4 + log √1
    tensor(1.3863)
    """
    if not feature_change.isfinite():
        raise ArithmeticError("with Gaussian weights, the features exceed the range of floats")
    if feature_change == 0:
        raise ArithmeticError("the features do not change with the input")
    if any(variance.mean() == 0 for variance in norm_variances):
        raise ArithmeticError("the input of a BatchNorm does not vary")
    scales = [variance.mean().log() / 2 for variance in norm_variances]
    return torch.stack([feature_change.log(), *scales]).sum()
