"""meco: is any output channel of a module a linear combination of the others?

Jiang et al. 2023, "MeCo: Zero-Shot NAS with One Data and Single Forward Pass via Minimum Eigenvalue
of Correlation", NeurIPS 2023; github.com/HamsterMimi/MeCo.
"""

import torch
from torch import Tensor


def meco(module_minima: dict[str, Tensor]) -> Tensor:
    """Σ over modules of λ_min(C), C being the correlations of its output's channels in one sample.

    C has Pearson's correlations between the channels of the module's output over the positions
    (pixels or tokens) of the first sample of the batch; a constant channel has zeros. As in the
    authors' code, every module that returns a tensor counts each time that it runs: layers,
    normalisations, activations, containers, and the network itself. The network is run in training
    mode. An eigenvalue that differs from 0 only by rounding is set to 0, whereas that of the
    authors may be slightly negative. The maximum is the number of modules. Undefined if the output
    of every module has at least as many channels as positions, because C is then singular for every
    network.

    Limitations: it depends on how a network is written, since a block that is a separate module
    counts in addition to its parts, and functional activations do not count (`rmin` and `d8` depend
    only on operations). The authors use noise as input; on NAS-Bench-201, real images rank better.
    It grows with depth, falls with width, and ranks spaces of widths in the wrong order.

    >>> from torch import tensor
    >>> meco({"conv": tensor([0.25]), "relu": tensor([0.5]), "head": tensor([0.0])})
    tensor(0.7500)
    """
    return torch.stack([minima.mean() for minima in module_minima.values()]).sum()
