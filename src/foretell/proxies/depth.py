"""depth: the largest number of layers one after the other, a baseline."""

import torch
from torch import Tensor


def depth(longest_path: int) -> Tensor:
    """Largest number of layers on a path from an input of the network to one of its outputs.

    A layer is an operation that multiplies what depends on an input by what depends on parameters
    alone: a convolution, a matrix product with a weight, or the rows that an embedding selects.
    They are counted in the operations that one forward pass in training mode runs, below autograd.
    A layer that is used twice in a row counts twice, so a recurrent layer is as deep as its
    sequence is long. Layers that no output depends on, and those in frozen parts, count like all
    others: the former not at all, the latter fully.

    Limitations: skip connections do not shorten it, and it cannot rank candidates that differ in
    width alone.

    >>> depth(18)
    tensor(18)
    """
    return torch.tensor(longest_path)
