"""flops: the arithmetic of one forward pass, a baseline."""

import torch
from torch import Tensor


def flops(forward_flops: int) -> Tensor:
    """Floating-point operations of the forward pass of one sample; a multiply-add counts as two.

    Counted by torch.utils.flop_counter: convolutions and all products of matrices and vectors,
    including those in recurrent, bilinear and attention layers and in scripted and custom
    functions. Only the stored entries of a sparse matrix count. Elementwise products and sums do
    not count. A fast Fourier transform of n numbers counts as 5 n log₂ n, or as half of that if
    they are real (fftw.org/speed/method.html), complex products count as four real ones, and
    distances (cdist) as the product of the two matrices. Undefined for operations that factorise or
    invert matrices, and for operators without a formula.

    Limitations: only matrix products are counted, and the count depends on the size of the input as
    much as on the network.

    >>> flops(6_000)
    tensor(6000)
    """
    return torch.tensor(forward_flops)
