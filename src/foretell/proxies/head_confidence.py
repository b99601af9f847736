"""Head confidence: how large are the largest queries, keys and values?

Serianni and Kalita 2023, "Training-free Neural Architecture Search for RNNs and Transformers",
arXiv:2306.00288.
"""

import torch
from torch import Tensor


def head_confidence(attention_maxima: dict[str, Tensor]) -> Tensor:
    """Mean over query, key and value layers, samples and channels of the largest output.

    The maximum is taken over the positions (tokens) of a sample. The layers are those whose output
    an attention uses as queries, keys or values, without another layer in between; a joint layer
    counts once, and nn.MultiheadAttention three times. Undefined if the network has no attention,
    which is a softmax of a product of two signals that is multiplied by a third signal, or one of
    PyTorch's attention functions.

    Limitations: it grows with the scale of the initialisation. On the FlexiBERT space, the number
    of layers alone ranks better than every score of the paper. The authors' sum over layers is
    their number times this mean.

    >>> from torch import tensor
    >>> head_confidence({"query": tensor([1.0, 2.0]), "key": tensor([3.0, 4.0])})
    tensor(2.5000, dtype=torch.float64)
    """
    return torch.stack([maxima.double().mean() for maxima in attention_maxima.values()]).mean()
