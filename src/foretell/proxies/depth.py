"""depth: the length of the longest path of layers, a baseline."""

import torch
from torch import Tensor


def depth(longest_path: int) -> Tensor:
    """Largest number of layers on a path from an input of the network to one of its outputs.

    A layer is an operation that combines a value that depends on an input with one that depends
    only on parameters: a convolution, a matrix product with a weight, or an embedding lookup.
    Layers are counted among the operations, below autograd, that one forward pass in training mode
    runs. A layer that is used twice in a row counts twice, so a recurrent layer is as deep as its
    sequence is long. Frozen layers count; layers that no output depends on do not.

    Limitations: skip connections do not reduce it, and it cannot rank candidates that differ only
    in width.

    >>> depth(18)
    tensor(18)
    """
    return torch.tensor(longest_path)
