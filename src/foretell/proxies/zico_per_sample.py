"""ZiCo with gradients of single samples instead of minibatches.

After Li et al. 2023, arXiv:2301.11300; see `zico`.
"""

import torch
from torch import Tensor


def zico_per_sample(sample_moments: dict[str, Tensor]) -> Tensor:
    """Σ_l log Σ_w mean|g| / std(g) over the weight tensors, g being the gradients of samples.

    Each sample is run by itself in training mode, so batch normalisations use its statistics; std
    is the population standard deviation. Weights with the same gradient for every sample are left
    out, and so are tensors without any other weights. Undefined for a single sample, if no gradient
    differs, and if a batch normalisation has one value per channel of a sample.

    Limitations: as with `zico`, the sum of a tensor grows with its number of weights and the score
    with the number of tensors, so compare it with `params` and `layers`.

    >>> from torch import tensor
    >>> zico_per_sample({"a": tensor([[2.0, 1.0], [1.0, 0.0], [1.0, 0.0]])})  # log(2 / 1)
    tensor(0.6931, dtype=torch.float64)
    """
    sums = []
    for mean, variance, _ in sample_moments.values():
        ratios = mean.double() / variance.double().sqrt()
        sums.append(ratios.where(variance > 0, 0).sum())
    found = torch.stack(sums)
    if not found.any():
        raise ArithmeticError("no gradient differs between the samples of the batch")
    return found[found > 0].log().sum()
