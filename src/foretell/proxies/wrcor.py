"""WRCor: do activations and their gradients distinguish the samples? Later ones weigh more.

Jing et al. 2025, "Zero-Shot Neural Architecture Search with Weighted Response Correlation",
arXiv:2507.08841.
"""

import math

import torch
from torch import Tensor


def wrcor(response_correlations: list[Tensor]) -> Tensor:
    """log |det K|, with K = Σ_l 2^l (|R_l| + |G_l|) over the activations in order, l = 1, 2, ….

    R_l has Pearson's correlations, `[N, N]`, between samples of the input of activation l, and G_l
    those of the gradient of the summed output with respect to this input, or zeros if the output
    does not depend on it. Activation functions are recognised by the operation, functional ones
    included. The network is run in training mode. Undefined for a single sample, if the response or
    the gradient of a sample is constant (its correlations are 0/0), if K is singular, and without
    activation functions. Scores are not comparable across batch sizes.

    Limitations: the weights 2^l add N log 2 for each activation, so the score mostly measures the
    number of activations: compare it with `layers`. The last activations determine the rest.
    Parallel branches are ordered as the code runs them.

    >>> half = torch.tensor([[1.0, 0.5], [0.5, 1.0]]).double()
    >>> wrcor([torch.stack([half, half])])  # log det of 4 on and 2 off the diagonal
    tensor(2.4849, dtype=torch.float64)
    """
    layers, samples = len(response_correlations), len(response_correlations[0][0])
    if samples < 2:
        raise ArithmeticError("the correlations of samples need at least two of them")
    scaled = [
        both.abs().sum(0) * 2.0 ** (place - layers)
        for place, both in enumerate(response_correlations)
    ]
    kernel = torch.stack(scaled).sum(0)
    if not kernel.isfinite().all():
        raise ArithmeticError("the response or the gradient of a sample is constant")
    if torch.linalg.matrix_rank(kernel, hermitian=True) < samples:
        raise ArithmeticError("the kernel is singular: two samples have the same responses")
    logabsdet: Tensor = torch.linalg.slogdet(kernel).logabsdet
    return logabsdet + samples * (layers + 1) * math.log(2)
