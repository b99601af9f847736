"""params_used: the number of parameters that matter to the output, a baseline."""

import torch
from torch import Tensor


def params_used(used_parameters: dict[str, Tensor]) -> Tensor:
    """Number of parameters that some output of the network depends on; tied ones count once.

    Dependence is traced through the values that the operations of one forward pass in training mode
    read and write. A value multiplied by the number 0, as by the `none` operation of some cells,
    depends on nothing. The score is `params` without dead branches and without parameters that the
    forward pass does not use.

    Limitations: those of `params`; in addition, a tensor counts as a whole even if only a part of
    it is used.

    >>> from torch import zeros
    >>> params_used({"weight": zeros(3, 4), "bias": zeros(3)})
    tensor(15)
    """
    return torch.tensor(sum(p.numel() for p in used_parameters.values()))
