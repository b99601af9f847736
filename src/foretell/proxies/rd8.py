"""rd8: are a few random channels of an activation's input linearly dependent?

Defined here: `d8`, computed at the inputs of activations like `rmin`.
"""

import torch
from torch import Tensor


def rd8(activation_draws: dict[str, Tensor]) -> Tensor:
    """Σ over activations of the mean λ_min of the correlation matrices of 8 random input channels.

    A matrix has Pearson's correlations between min(8, c) randomly drawn channels of the
    activation's input over the positions of one sample; a constant channel has zeros. The smallest
    eigenvalue λ_min is averaged over the samples and over four draws per activation, which depend
    on the seed and the activation's position. Activations are defined as in `rmin`, and the same
    batches suit it as `d8`. Unlike the matrix of all channels, that of eight channels is usually
    not singular in wide layers and transformers, so the score also applies to them. The maximum is
    the number of activations. Undefined if no activation has more than min(8, c) positions, as in
    networks on vectors.

    Limitations: those of `d8`; on NAS-Bench-201, it ranks a little worse than `d8` and `rmin`.

    >>> from torch import tensor
    >>> rd8({"relu": tensor([[0.2, 0.4], [0.3, 0.3]]), "gelu": tensor([[0.0, 0.0], [0.0, 0.2]])})
    tensor(0.3500)
    """
    return torch.stack([minima.mean() for minima in activation_draws.values()]).sum()
