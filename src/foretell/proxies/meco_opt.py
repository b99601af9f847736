"""meco_opt: `meco` of eight channels of each module, drawn at random.

Jiang et al. 2023, "MeCo: Zero-Shot NAS with One Data and Single Forward Pass via Minimum Eigenvalue
of Correlation", NeurIPS 2023; github.com/HamsterMimi/MeCo.
"""

import torch
from torch import Tensor


def meco_opt(module_draws: dict[str, Tensor], module_channels: dict[str, int]) -> Tensor:
    """Σ over modules of c/n · λ_min(C), C being the correlations of n = min(8, c) random channels.

    The n channels are drawn from the c channels of the module's output. C has Pearson's
    correlations between them for the first sample of the batch, and the modules are the same as in
    `meco`. There is one draw per module, which depends on the seed and the module's position. The
    authors' code fails on modules with fewer than eight channels, all of which are used here.
    Undefined if no output has more than min(8, c) positions.

    Limitations: those of `meco`, except that it grows with width. With one sample and one draw, the
    value is noisy: use several seeds, or `d8`.

    >>> from torch import tensor
    >>> meco_opt({"conv": tensor([[0.25]]), "head": tensor([[0.5]])}, {"conv": 16, "head": 4})
    tensor(1.)
    """
    terms = [max(module_channels[m] / 8, 1) * draw.mean() for m, draw in module_draws.items()]
    return torch.stack(terms).sum()
