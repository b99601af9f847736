"""L-SWAG: are gradients similar across samples, and activity patterns different across units?

Casarin et al. 2025, "L-SWAG: Layer-Sample Wise Activation with Gradients information for Zero-Shot
NAS on Vision Transformers", arXiv:2505.07300.
"""

import torch
from torch import Tensor

__all__ = ["l_swag"]


def l_swag(sample_moments: dict[str, Tensor], activation_patterns: int) -> Tensor:
    """Λ Ψ, with Λ = Σ_l log Σ_w 1/√Var|g| over the weight tensors, and Ψ the value of `swap`.

    g are the gradients of single samples, as in `zico_per_sample`, and Var the population variance.
    Weights with the same |g| for every sample are left out. All layers of the network are used; the
    paper selects a range of layers for each space by accuracies, which is not implemented.
    Undefined if `swap` is undefined, for a single sample, if no gradient differs between samples,
    and if a batch normalisation has one value per channel of a sample.

    Limitations: those of `swap`, whose saturation it inherits. Gradients are not scale-free:
    multiplying the loss by a constant shifts the logarithm of every tensor, so the factor Λ mostly
    reflects the number of tensors and weights.

    >>> from torch import tensor
    >>> l_swag({"a": tensor([[2.0, 1.0], [1.0, 0.0], [0.25, 0.0]])}, 3)  # 3 log(1 / 0.5)
    tensor(2.0794, dtype=torch.float64)
    """
    sums = []
    for _, _, variance in sample_moments.values():
        sums.append(variance.double().rsqrt().where(variance > 0, 0).sum())
    found = torch.stack(sums)
    if not found.any():
        raise ArithmeticError("no gradient differs in size between the samples of the batch")
    return found[found > 0].log().sum() * activation_patterns
