"""NEAR: do the outputs of each layer fill the space of its channels?

Husistein et al. 2024, "NEAR: A Training-Free Pre-Estimator of Machine Learning Model Performance",
arXiv:2408.08776.
"""

import torch
from torch import Tensor


def near(layer_rows: dict[str, Tensor]) -> Tensor:
    """Σ of the effective ranks exp(−Σ p log p) of outputs, p being normalised singular values.

    The outputs are those of layers with a weight, including their biases, of normalisations and of
    activation functions, including functional ones. From each output, a square matrix is
    decomposed: as many consecutive rows as it has channels, where a row is a position of a sample,
    and the first row is drawn by the seed. The model is run in training mode with its own weights;
    the authors average over 32 initialisations, for which you can use several seeds here
    (`rank(..., seeds=range(32))`). The maximum is the number of channels of all these outputs.
    Undefined if an output has fewer rows in the whole minibatch than channels, as is the case for
    wide linear layers after a pooling in small minibatches: such a matrix cannot have full rank for
    any network, but the authors' code compares it with others nevertheless.

    Limitations: it grows with the number and the width of layers: compare it with `params` and
    `layers`. Consecutive positions of a feature map are similar, so large maps of natural images
    have lower ranks than small ones. Maps and the same positions as a sequence are in another
    order, so other rows are drawn. There are two differences from the authors' code: a softmax is
    not an activation function here, and if the authors' random start leaves fewer rows than
    channels, they decompose the remaining rows.

    >>> from torch import eye, tensor
    >>> near({"conv": eye(3), "relu": tensor([[1.0, 1.0], [1.0, 1.0]])}).round()  # ranks 3 and 1
    tensor(4., dtype=torch.float64)
    """
    return torch.stack([effective_rank(rows) for rows in layer_rows.values()]).sum()


def effective_rank(matrix: Tensor) -> Tensor:
    """exp of the entropy of the normalised singular values; 0 for a matrix of zeros.

    >>> effective_rank(torch.zeros(2, 2))
    tensor(0., dtype=torch.float64)
    """
    exact = matrix.double()
    if not exact.isfinite().all():
        raise ArithmeticError("the output of a layer exceeds the range of floats")
    values: Tensor = torch.linalg.svdvals(exact)
    total = values.sum()
    if total == 0:
        return total
    rank: Tensor = torch.special.entr(values / total).sum().exp()
    return rank
