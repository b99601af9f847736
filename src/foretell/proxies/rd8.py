"""rd8: are a few channels that go into an activation, drawn at random, mixtures of each other?

Defined here: `d8` where `rmin` looks.
"""

import torch
from torch import Tensor


def rd8(activation_draws: dict[str, Tensor]) -> Tensor:
    """Σ over activations of λ_min(C₈), the mean over samples and draws: `d8` at their inputs.

    C₈ is the matrix of Pearson's correlations between min(8, c) channels of the activation's input,
    drawn at random, in one sample, over its positions; a channel that is constant has zeros. There
    are four draws for each activation, by the seed and its place. `rmin` says what an activation
    is, and `d8` what to give it. Since eight channels have a smallest eigenvalue above 0 where all
    of them do not, it also says something about wide layers and transformers. The maximum is the
    number of activations. Undefined if no activation has more than min(8, c) positions: for
    networks of vectors.

    Limitations: those of `d8`; on NAS-Bench-201, it ranks a little worse than `d8` and `rmin`.

    >>> from torch import tensor
    >>> rd8({"relu": tensor([[0.2, 0.4], [0.3, 0.3]]), "gelu": tensor([[0.0, 0.0], [0.0, 0.2]])})
    tensor(0.3500)
    """
    return torch.stack([minima.mean() for minima in activation_draws.values()]).sum()
