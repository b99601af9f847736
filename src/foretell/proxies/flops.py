"""flops: the arithmetic of one forward pass, the other baseline."""

import torch
from torch import Tensor


def flops(forward_flops: int) -> Tensor:
    """Floating-point operations of one sample's forward pass, a multiply-add counted as two.

    Counted by torch.utils.flop_counter: convolutions and all products of matrices and vectors,
    those of recurrent, bilinear and attention layers among them, also inside scripted and custom
    functions. Of a sparse matrix its entries count. Products of single numbers do not, nor sums.

    Fails where: the work is not in matrix products, which is all it counts, and where the input's
    size rather than the network makes the difference.

    >>> flops(6_000)
    tensor(6000)
    """
    return torch.tensor(forward_flops)
