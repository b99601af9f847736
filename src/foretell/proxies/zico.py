"""ZiCo: do different samples pull on a weight in the same direction, and how surely?

Li et al. 2023, "ZiCo: Zero-shot NAS via Inverse Coefficient of Variation on Gradients",
arXiv:2301.11300.
"""

import torch
from torch import Tensor


def zico(half_grads: dict[str, Tensor]) -> Tensor:
    """Σ_l log Σ_w mean|g| / std(g) over the weight tensors, g being minibatches' gradients.

    The minibatches are the two halves of the batch, the authors' number; std is that of the
    population. Weights whose gradient is the same in both halves are left out, as are tensors with
    no others. For two minibatches each ratio is at least 1, so a tensor of n weights adds at least
    log n. Undefined for one sample, and where no gradient differs.

    Fails where: the batch is small. With two minibatches the ratio (|g₁| + |g₂|) / |g₁ − g₂| is
    heavy-tailed: a few weights whose gradients happen to agree carry a layer's sum. The bound makes
    the score follow the number of layers and of weights: compare with `params`.

    >>> from torch import tensor
    >>> zico({"a": tensor([[1.0, 2.0], [3.0, 2.0]])})  # (2/1), the second does not differ
    tensor(0.6931, dtype=torch.float64)
    """
    sums = []
    for halves in half_grads.values():
        g = halves.double()
        mean, std = g.abs().mean(0), g.std(0, correction=0)
        if (differs := std > 0).any():
            sums.append((mean[differs] / std[differs]).sum().log())
    if not sums:
        raise ArithmeticError("no gradient differs between the two halves of the batch")
    return torch.stack(sums).sum()
