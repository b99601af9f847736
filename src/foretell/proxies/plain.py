"""plain: SNIP with its signs, the simplest first-order score.

The code of Abdelfattah et al. 2021, arXiv:2101.08134; one of NAS-Bench-Suite-Zero's thirteen.
"""

import torch
from torch import Tensor


def plain(weights: dict[str, Tensor], grads: dict[str, Tensor]) -> Tensor:
    """The signed sum over all weights of w · ∂L/∂w.

    It is the slope of the loss as all weights grow together. Higher is taken to be better, as in
    NAS-Bench-Suite-Zero.

    Fails where: a normalisation follows a layer. Scaling such weights changes nothing, so their sum
    is 0 (but for the normalisation's ε): where every convolution has its BatchNorm, the classifier
    alone decides. The signs cancel: in float32 expect few digits.

    >>> from torch import tensor
    >>> plain({"a": tensor([1.0, -2.0])}, {"a": tensor([3.0, 4.0])})
    tensor(-5.)
    """
    return torch.stack([(w * grads[name]).sum() for name, w in weights.items()]).sum()
