"""meco: is any channel that comes out of a module a mixture of the others?

Jiang et al. 2023, "MeCo: Zero-Shot NAS with One Data and Single Forward Pass via Minimum Eigenvalue
of Correlation", NeurIPS 2023; github.com/HamsterMimi/MeCo.
"""

import torch
from torch import Tensor


def meco(module_minima: dict[str, Tensor]) -> Tensor:
    """Σ over modules of λ_min(C), C being the correlations of its output's channels in one sample.

    C is the matrix of Pearson's correlations between the channels of the module's output for the
    first sample of the batch, over its positions (pixels, or tokens); a channel that is constant
    has zeros. As in the authors' code, every module counts that returns a tensor, each time that it
    runs: layers, normalisations, activations, containers, and the network itself. The values are
    those of training mode. An eigenvalue that is 0 but for rounding is 0, whereas theirs may be
    slightly negative. The maximum is the number of modules. Undefined if the output of every module
    has at least as many channels as positions, because then λ_min is 0 by rank.

    Limitations: it depends on how a network is written, since a block counts once more if it is a
    module of its own, and functional activations do not count (`rmin` and `d8` depend on operations
    alone). The authors feed noise; on NAS-Bench-201, real images rank better. It grows with
    depth, falls with width, and ranks spaces of widths in the wrong order.

    >>> from torch import tensor
    >>> meco({"conv": tensor([0.25]), "relu": tensor([0.5]), "head": tensor([0.0])})
    tensor(0.7500)
    """
    return torch.stack([minima.mean() for minima in module_minima.values()]).sum()
