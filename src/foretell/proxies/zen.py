"""Zen-score: how much do the features change as the input does, weights being Gaussian?

Lin et al. 2021, "Zen-NAS", arXiv:2102.01063, Algorithm 1.
"""

import torch
from torch import Tensor


def zen(feature_change: Tensor, norm_variances: list[Tensor]) -> Tensor:
    """log E‖f(x) − f(x + 0.01ε)‖₁ + Σ_BatchNorm log √(mean variance of its channels).

    Weights, x and ε are drawn from N(0, 1); f is what goes into the last pooling of whole maps,
    or the main output of a network that has none. The second term puts back the scale that
    BatchNorm takes out. Of the batch only the shape counts. The draws, and so the value, depend
    on the seed; take several. As in the authors' code the norm is the sum of absolute values (the
    paper has the Frobenius norm). Other than theirs: the variances are the minibatch's own, where
    they read running averages that still hold 81 % of their initial 1, which costs a network about
    0.8 for each BatchNorm it has; dropout draws the same for x and x + 0.01ε; and residual links
    stay, which their search removes and NASLib does not.

    Fails where: LayerNorm, GroupNorm or RMSNorm take out a scale that nothing puts back; without
    any normalisation deep networks leave the range of floats. It grows with depth and width and is
    blind to the data, the initialisation and whether the network could be trained.

    >>> from torch import tensor
    >>> zen(tensor(2.0), [tensor([3.0, 5.0]), tensor([1.0])])  # log 2 + log √4 + log √1
    tensor(1.3863)
    """
    if not feature_change.isfinite():
        raise ArithmeticError("with Gaussian weights the features leave the range of floats")
    if feature_change == 0:
        raise ArithmeticError("the features do not change with the input")
    if any(variance.mean() == 0 for variance in norm_variances):
        raise ArithmeticError("what a BatchNorm is given does not vary")
    scales = [variance.mean().log() / 2 for variance in norm_variances]
    return torch.stack([feature_change.log(), *scales]).sum()
