"""flops: the arithmetic of one forward pass, a baseline."""

import torch
from torch import Tensor


def flops(forward_flops: int) -> Tensor:
    """Floating-point operations of the forward pass of one sample; a multiply-add counts as two.

    Counted by torch.utils.flop_counter: convolutions and all products of matrices and vectors,
    including those in recurrent, bilinear and attention layers and in scripted and custom
    functions. Only the stored entries of a sparse matrix count. Elementwise products and sums do
    not count.

    Limitations: only matrix products are counted, and the count depends on the size of the input as
    much as on the network.

    >>> flops(6_000)
    tensor(6000)
    """
    return torch.tensor(forward_flops)
