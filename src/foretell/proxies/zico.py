"""ZiCo: how consistent is the gradient of a weight over different samples?

Li et al. 2023, "ZiCo: Zero-shot NAS via Inverse Coefficient of Variation on Gradients",
arXiv:2301.11300.
"""

import torch
from torch import Tensor

WEIGHTS_AT_A_TIME = 2**20


def zico(half_grads: dict[str, Tensor]) -> Tensor:
    """Σ_l log Σ_w mean|g| / std(g) over the weight tensors, g being the gradients of minibatches.

    The minibatches are the two halves of the batch (the authors also use two); std is the
    population standard deviation. Weights with the same gradient in both halves are left out, and
    so are tensors without any other weights. With two minibatches, each ratio is at least 1, so a
    tensor of n weights contributes at least log n. Undefined for a single sample, and if no
    gradient differs.

    Limitations: with two minibatches, the ratio (|g₁| + |g₂|) / |g₁ − g₂| is heavy-tailed: a few
    weights whose gradients happen to agree dominate the sum of a layer, especially on small
    batches. The lower bound makes up most of the score (five sixths on a ResNet-18), so it follows
    the number of layers and weights: compare it with `params`.

    >>> from torch import tensor
    >>> zico({"a": tensor([[1.0, 2.0], [3.0, 2.0]])})  # (2/1), the second does not differ
    tensor(0.6931, dtype=torch.float64)
    """
    sums = torch.stack([sum_of_ratios(halves) for halves in half_grads.values()])
    if not sums.any():
        raise ArithmeticError("no gradient differs between the two halves of the batch")
    return sums[sums > 0].log().sum()


def sum_of_ratios(grads: Tensor) -> Tensor:
    """Σ_w mean|g| / std(g) over the first axis, in float64, without the weights whose std is 0.

    >>> sum_of_ratios(torch.tensor([[1.0, 2.0], [3.0, 2.0]]))
    tensor(2., dtype=torch.float64)
    """
    total = torch.zeros((), dtype=torch.float64, device=grads.device)
    for some in torch.split(grads.flatten(1), WEIGHTS_AT_A_TIME, dim=1):
        g = some.double()
        std = (g - g.mean(0)).square().mean(0).sqrt()
        total += (g.abs().mean(0) / std).where(std > 0, 0).sum()
    return total
