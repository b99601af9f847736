"""GraSP: would removing the weights slow down the descent of the loss?

Wang, Zhang & Grosse 2020, arXiv:2002.07376; summed with its sign as in arXiv:2101.08134,
at temperature 1 and with the same minibatch for both derivatives.
"""

import torch
from torch import Tensor


def grasp(grads: dict[str, Tensor], hessian_weights: dict[str, Tensor]) -> Tensor:
    """The signed sum −wᵀHg over all weights, H being the Hessian of the loss.

    H is symmetric, so the sum equals −gᵀ(Hw). This form does not need the gradient of the whole
    batch before the second derivative, which keeps micro-batches exact. There is strong
    cancellation in the sum; docs/precision.md says how many digits are meaningful.

    Limitations: in float32, even the sign may be a rounding error. The minus sign was chosen by
    looking at accuracies. It prefers narrow networks, does not correlate with the accuracy of
    torchvision-like networks (about 0), and correlates negatively after one epoch of training.
    Undefined for functions that PyTorch cannot differentiate twice.

    >>> from torch import tensor
    >>> grasp({"a": tensor([1.0, 2.0])}, {"a": tensor([3.0, -4.0])})
    tensor(5.)
    """
    return -torch.stack([(g * hessian_weights[name]).sum() for name, g in grads.items()]).sum()
