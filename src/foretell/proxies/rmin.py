"""rmin: is any channel that goes into an activation a mixture of the others?

Defined here; the smallest eigenvalue of the correlations of a layer's channels is that of MeCo
(Jiang et al. 2023), which takes it from one sample of noise at the output of every module.
"""

import torch
from torch import Tensor


def rmin(activation_minima: dict[str, Tensor]) -> Tensor:
    """Σ over activations of λ_min(C), the mean over samples, C being its channels' correlations.

    C is the c × c matrix of Pearson's correlations between the channels of the activation's input
    in one sample, over its positions (pixels, or tokens); a channel that is constant has zeros. It
    is singular, and its term 0, if one channel is a linear combination of the others. Activations
    are ReLU and its variants, GELU, SiLU and the like, GLU by its gate, and any sigmoid or tanh,
    whether modules or functions; a softmax, which couples numbers, is none, and neither are the
    gates inside of nn.LSTM, each of which sees one position at a time. The values are those of
    training mode and of the model's own weights, so give it real samples, on which it ranks better
    than on noise; four to eight of them (`batch_size` 8) are enough. No labels and no gradient are
    used. The maximum is the number of activations. Undefined if every activation has at least as
    many channels as positions, because then λ_min is 0 by rank: for networks of vectors, and for
    most transformers (see `rd8`).

    Limitations: it is a sum over layers, so it grows with depth, and falls with width: compare it
    with `layers` and `depth`. Wide layers on small maps add 0, whatever they do. GELU that is
    written out by its tanh is seen at the input of the tanh. It was chosen on 300 networks of
    NAS-Bench-201; what it says about networks without BatchNorm and ReLU is not known.

    >>> from torch import tensor
    >>> rmin({"relu": tensor([0.2, 0.4]), "relu#2": tensor([0.1, 0.1])})
    tensor(0.4000)
    """
    return torch.stack([minima.mean() for minima in activation_minima.values()]).sum()
