"""params_used: the number of parameters that matter to the output, a baseline."""

import torch
from torch import Tensor


def params_used(used_parameters: dict[str, Tensor]) -> Tensor:
    """Number of parameters that some output of the network depends on; tied ones count once.

    They are found by following what the operations of one forward pass in training mode read and
    write. What is multiplied by the number 0, as in cells that keep a `none` operation, does not
    depend on anything. It is `params` without dead branches and without what the forward pass does
    not use.

    Limitations: those of `params`; and a tensor counts as a whole, even if a part of it is used.

    >>> from torch import zeros
    >>> params_used({"weight": zeros(3, 4), "bias": zeros(3)})
    tensor(15)
    """
    return torch.tensor(sum(p.numel() for p in used_parameters.values()))
