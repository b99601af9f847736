"""d8: are a few channels of a layer's output, drawn at random, mixtures of each other?

Defined here, after MeCo-opt (Jiang et al. 2023), which draws the channels of one sample of noise.
"""

import torch
from torch import Tensor


def d8(layer_draws: dict[str, Tensor]) -> Tensor:
    """Σ over layers of λ_min(C₈), the mean over samples and draws, C₈ of 8 channels' correlations.

    C₈ is the matrix of Pearson's correlations between min(8, c) channels of the layer's output,
    drawn at random, in one sample, over its positions (pixels, or tokens); a channel that is
    constant has zeros. There are four draws for each layer, by the seed and the layer's place. The
    layers are those with a weight that counts: convolutions and linear layers before any
    normalisation, embeddings, recurrent layers, and attention by its output. The values are those
    of training mode and of the model's own weights, so give it real samples, on which it ranks
    better than on noise; four to eight of them (`batch_size` 8) are enough. No labels and no
    gradient are used. The maximum is the number of layers. Undefined if no layer has more than
    min(8, c) positions, because then λ_min is 0 by rank: for networks of vectors.

    Limitations: it is a sum over layers, so it grows with depth: compare it with `layers` and
    `depth`. Two seeds of the draws agree at ρ = .98 on NAS-Bench-201, on 300 networks of which it
    was chosen; it is not known to say much about networks of other kinds.

    >>> from torch import tensor
    >>> d8({"stem": tensor([[0.2, 0.4], [0.3, 0.3]]), "head": tensor([[0.0, 0.0], [0.0, 0.2]])})
    tensor(0.3500)
    """
    return torch.stack([minima.mean() for minima in layer_draws.values()]).sum()
