"""plain: SNIP with signs, the simplest first-order score.

The code of Abdelfattah et al. 2021, arXiv:2101.08134; one of the thirteen proxies of
NAS-Bench-Suite-Zero.
"""

import torch
from torch import Tensor


def plain(weights: dict[str, Tensor], grads: dict[str, Tensor]) -> Tensor:
    """The signed sum over all weights of w · ∂L/∂w.

    It is the derivative of the loss when all weights are scaled together. Higher is considered
    better, as in NAS-Bench-Suite-Zero.

    Limitations: scaling the weights of a layer that is followed by a normalisation has no effect,
    so the terms of these weights add up to 0 (except for the ε of the normalisation). If every
    convolution is followed by BatchNorm, the score depends only on the classifier. The terms
    cancel, so expect few meaningful digits in float32.

    >>> from torch import tensor
    >>> plain({"a": tensor([1.0, -2.0])}, {"a": tensor([3.0, 4.0])})
    tensor(-5.)
    """
    return torch.stack([(w * grads[name]).sum() for name, w in weights.items()]).sum()
