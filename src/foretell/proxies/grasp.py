"""GraSP: would cutting the weights slow the descent of the loss?

Wang, Zhang & Grosse 2020, arXiv:2002.07376; summed with its sign as in arXiv:2101.08134,
at temperature 1 and with the same minibatch for both derivatives.
"""

import torch
from torch import Tensor


def grasp(grads: dict[str, Tensor], hessian_weights: dict[str, Tensor]) -> Tensor:
    """The signed total −wᵀHg over all weights, H being the Hessian of the loss.

    H is symmetric, so the total is −gᵀ(Hw). That form needs no gradient of the whole batch before
    the second derivative can start, which keeps micro-batches exact. The sum cancels heavily:
    see docs/precision.md for the digits it is worth.

    Fails where: digits are few: in float32 the sign itself may be rounding. The minus sign was
    chosen by looking at accuracies. It prefers narrow networks, knows nothing of untrained
    torchvision-like networks (about 0 there) and turns against accuracy after one epoch of
    training. Undefined for functions that PyTorch cannot differentiate twice.

    >>> from torch import tensor
    >>> grasp({"a": tensor([1.0, 2.0])}, {"a": tensor([3.0, -4.0])})
    tensor(5.)
    """
    return -torch.stack([(g * hessian_weights[name]).sum() for name, g in grads.items()]).sum()
