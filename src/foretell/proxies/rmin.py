"""rmin: is any input channel of an activation a linear combination of the others?

Defined here; the smallest eigenvalue of the correlations of a layer's channels is that of MeCo
(Jiang et al. 2023), which takes it from one sample of noise at the output of every module.
"""

import torch
from torch import Tensor


def rmin(activation_minima: dict[str, Tensor]) -> Tensor:
    """Σ over activations of the mean λ_min(C) over samples, C being the channels' correlations.

    C is the c × c matrix of Pearson's correlations between the channels of the activation's input
    over the positions (pixels or tokens) of one sample; a constant channel has zeros. If one
    channel is a linear combination of the others, C is singular and its term is 0. Activations are
    ReLU and its variants, GELU, SiLU and the like, GLU by its gate, and any sigmoid or tanh,
    whether modules or functions. A softmax does not count, since it is not elementwise, and neither
    do the gates inside nn.LSTM, which process one position at a time. The model is run in training
    mode with its own weights. Use real samples, on which the score ranks better than on noise; four
    to eight of them (`batch_size` 8) are enough. Neither labels nor gradients are used. The maximum
    is the number of activations. Undefined if every activation has at least as many channels as
    positions, as in networks on vectors and in most transformers (see `rd8`), because C is then
    singular for every network.

    Limitations: it is a sum over layers, so it grows with depth; it falls with width. Compare it
    with `layers` and `depth`. Wide layers on small maps always add 0. A GELU that is written out
    with tanh is measured at the input of the tanh. The score was designed on 300 networks of
    NAS-Bench-201; whether it ranks networks without BatchNorm and ReLU is not known.

    >>> from torch import tensor
    >>> rmin({"relu": tensor([0.2, 0.4]), "relu#2": tensor([0.1, 0.1])})
    tensor(0.4000)
    """
    return torch.stack([minima.mean() for minima in activation_minima.values()]).sum()
