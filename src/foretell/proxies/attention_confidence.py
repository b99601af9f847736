"""Attention confidence: how strongly does each token attend to a single other token?

Serianni and Kalita 2023, "Training-free Neural Architecture Search for RNNs and Transformers",
arXiv:2306.00288 (there: softmax confidence).
"""

import torch
from torch import Tensor


def attention_confidence(attention_peaks: dict[str, Tensor]) -> Tensor:
    """Mean largest attention probability over attentions, samples, heads and queries.

    The probabilities are the output of the softmax over the keys, without dropout. An attention is
    a softmax of a product of two signals that is multiplied by a third signal, or one of PyTorch's
    attention functions. Undefined if the network has no attention. The minimum is one over the
    number of keys.

    Limitations: short sequences have large values for any network, and under the usual
    initialisations, attention is nearly uniform. The authors' code takes the maximum over heads
    instead of over keys, and sums over layers.

    >>> from torch import tensor
    >>> attention_confidence({"attention#1": tensor([3.0, 4.0]), "attention#2": tensor([1.0, 4.0])})
    tensor(0.5000, dtype=torch.float64)
    """
    return torch.stack([peak / number for peak, number in attention_peaks.values()]).double().mean()
