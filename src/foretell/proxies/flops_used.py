"""flops_used: the arithmetic of a forward pass that matters to the output, a baseline."""

import torch
from torch import Tensor


def flops_used(used_flops: int) -> Tensor:
    """Floating-point operations, as in `flops`, that some output of the network depends on.

    Dependence is traced through the values that the operations of one forward pass in training mode
    read and write. A value multiplied by the number 0, as by the `none` operation of some cells,
    depends on nothing. The score is `flops` without dead branches.

    Limitations: those of `flops`.

    >>> flops_used(6_000)
    tensor(6000)
    """
    return torch.tensor(used_flops)
