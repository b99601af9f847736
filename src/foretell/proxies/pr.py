"""pr: the participation ratio, the number of directions in which the features of blocks vary."""

import torch
from torch import Tensor

from foretell.proxies.az_expressivity import normalised


def pr(block_spectra: list[Tensor]) -> Tensor:
    """Σ over the boundaries of blocks of the participation ratio (Σ λ)² / Σ λ².

    λ are the eigenvalues of the covariance of the channels; boundaries, weights, inputs and mode
    are as in `az_expressivity`. The ratio of a boundary is 1 if the features vary in only one
    direction, and equals the number of channels if they vary equally in all directions. Undefined
    if `az_expressivity` is undefined.

    Limitations: those of `az_expressivity`; since the ratios are summed without a logarithm, wide
    blocks count more.

    >>> from torch import tensor
    >>> pr([tensor([1.0, 1.0]), tensor([0.0, 2.0])])  # 2 + 1
    tensor(3., dtype=torch.float64)
    """
    return torch.stack([1 / p.square().sum() for p in normalised(block_spectra)]).sum()
