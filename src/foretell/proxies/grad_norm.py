"""grad_norm: how strongly does one minibatch pull on each layer?

Abdelfattah et al. 2021, arXiv:2101.08134, section 3.
"""

import torch
from torch import Tensor


def grad_norm(grads: dict[str, Tensor]) -> Tensor:
    """Sum over the weight tensors of the Euclidean norm of the gradient, Σ_l ‖∂L/∂W_l‖₂.

    Fails where: the task is far from NAS-Bench-201's. Its rank correlation with accuracy is weak on
    NAS-Bench-101 (0.2 in size) and, like SNIP's, negative among NAS-Bench-201's best tenth. The
    norm depends on the initialisation, and it decays within one epoch of training.

    >>> from torch import tensor
    >>> grad_norm({"a": tensor([3.0, 4.0]), "b": tensor([[-2.0]])})
    tensor(7.)
    """
    return torch.stack([g.norm() for g in grads.values()]).sum()
