"""flops_used: the arithmetic of a forward pass that matters to the output, a baseline."""

import torch
from torch import Tensor


def flops_used(used_flops: int) -> Tensor:
    """Floating-point operations of `flops` that some output of the network depends on.

    They are found by following what the operations of one forward pass in training mode read and
    write. What is multiplied by the number 0, as in cells that keep a `none` operation, does not
    depend on anything. It is `flops` without dead branches.

    Limitations: those of `flops`.

    >>> flops_used(6_000)
    tensor(6000)
    """
    return torch.tensor(used_flops)
