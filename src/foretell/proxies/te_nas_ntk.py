"""TE-NAS trainability: is the neural tangent kernel of the network well conditioned?

Chen, Gong and Wang 2021, "Neural Architecture Search on ImageNet in Four GPU Hours: A Theoretically
Inspired Perspective", arXiv:2102.11535.
"""

import torch
from torch import Tensor


def te_nas_ntk(sample_kernel: Tensor) -> Tensor:
    """The condition number λ_max / λ_min of the neural tangent kernel; lower is better.

    An entry of the kernel is the inner product of the gradients, with respect to the weights, of
    the summed outputs of two samples. Each sample is run by itself in training mode. Undefined for
    a single sample, if the kernel is singular (two equal samples, or fewer weights than samples),
    and if a batch normalisation has one value per channel of a sample. The minimum is 1; scores are
    not comparable across batch sizes.

    Limitations: the smallest eigenvalue is determined by the two most similar samples, so the value
    depends on the batch. In float32, condition numbers above about 1e12 are rounding errors. There
    are four differences from the authors' code, which gives the same value for networks without
    normalisations: it runs the batch together, so that batch normalisations couple the samples; it
    draws Kaiming weights and averages over three draws; scales of normalisations count as weights;
    and nan is replaced by 100,000.

    >>> te_nas_ntk(torch.tensor([[3.0, 1.0], [1.0, 3.0]]))
    tensor(2., dtype=torch.float64)
    """
    kernel = sample_kernel.double()
    if len(kernel) < 2:
        raise ArithmeticError("a kernel needs at least two samples")
    if not kernel.isfinite().all():
        raise ArithmeticError("the gradients exceed the range of floats")
    if torch.linalg.matrix_rank(kernel, hermitian=True) < len(kernel):
        raise ArithmeticError(
            "the tangent kernel is singular: two samples are alike, or there are too few weights"
        )
    values: Tensor = torch.linalg.eigvalsh(kernel)
    return values[-1] / values[0]
