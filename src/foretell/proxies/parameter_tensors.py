"""parameter_tensors: the number of parameter tensors, a baseline."""

import torch
from torch import Tensor


def parameter_tensors(parameters: dict[str, Tensor]) -> Tensor:
    """Number of parameter tensors, including those of normalisations; tied ones count once.

    Limitations: it depends on how a network is written: a bias that the next normalisation cancels
    counts, as do parameters that no output depends on.

    >>> from torch import zeros
    >>> parameter_tensors({"weight": zeros(3, 4), "bias": zeros(3)})
    tensor(2)
    """
    return torch.tensor(len(parameters))
