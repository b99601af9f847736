"""grad_norm: how large is the gradient of each layer on one minibatch?

Abdelfattah et al. 2021, arXiv:2101.08134, section 3.
"""

import torch
from torch import Tensor


def grad_norm(grads: dict[str, Tensor]) -> Tensor:
    """Sum over the weight tensors of the Euclidean norm of the gradient, Σ_l ‖∂L/∂W_l‖₂.

    Limitations: it is unreliable on tasks other than those of NAS-Bench-201. Its rank correlation
    with accuracy is weak on NAS-Bench-101 (0.2 in absolute value) and, like SNIP's, negative among
    the best 10 % of NAS-Bench-201. The norm depends on the initialisation, and it decays within one
    epoch of training.

    >>> from torch import tensor
    >>> grad_norm({"a": tensor([3.0, 4.0]), "b": tensor([[-2.0]])})
    tensor(7.)
    """
    return torch.stack([g.norm() for g in grads.values()]).sum()
