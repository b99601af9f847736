"""convs_3x3: the number of 3×3 convolutions, a baseline."""

import torch
from torch import Tensor


def convs_3x3(weights: dict[str, Tensor]) -> Tensor:
    """Number of 3×3 convolution kernels, including depthwise and transposed ones.

    A kernel that is used several times counts once, and frozen kernels do not count. On
    NAS-Bench-101, it ranks better than `params`.

    Limitations: it is 0 for every network without such convolutions, and is only useful in spaces
    where they are one of several choices.

    >>> from torch import zeros
    >>> convs_3x3({"0.weight": zeros(8, 3, 3, 3), "1.weight": zeros(8, 8, 1, 1)})
    tensor(1)
    """
    return torch.tensor(sum(w.ndim == 4 and w.shape[2:] == (3, 3) for w in weights.values()))
