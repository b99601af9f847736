"""VKDNW: do the data determine all directions of the weights equally well?

Týbl and Neumann 2025, "Training-free Neural Architecture Search through Variance of Knowledge of
Deep Network Weights", arXiv:2502.04975.
"""

import torch
from torch import Tensor

__all__ = ["entropy_of_deciles", "smoothed", "vkdnw"]


def vkdnw(class_scores: Tensor, class_score_grads: Tensor, smoothing: float = 0.05) -> Tensor:
    """The entropy −Σ q log q of the deciles of the Fisher matrix's eigenvalues, as shares.

    F = mean_n J_nᵀ (diag(p) − p pᵀ) J_n, where J_n has the derivatives of a sample's class scores
    with respect to the first entry of each of the first 128 parameter tensors, and p is the softmax
    of the scores, mixed with the uniform distribution with weight `smoothing`. The deciles are the
    0.1, …, 0.9 quantiles. Weights are drawn from N(0, 2 / fan-in), the model is run in evaluation
    mode with its own running statistics, and the inputs are those of the minibatch. The maximum is
    log 9. The authors rank networks first by the number of parameter tensors, and by this score
    only among equals; this is the ranking `vkdnw_single`. Their code multiplies J_n by a factor
    that should be transposed; see `vkdnw_reference`. Undefined if the main output of a sample is
    not one score per class.

    Limitations: each tensor is represented by a single entry, so the value depends on the seed.
    With the running statistics of an untrained network, batch normalisations have no effect. The
    score alone hardly ranks networks of different depth: compare the ranking with
    `parameter_tensors`, which accounts for most of its correlation. It takes a backward pass for
    each class of each sample.

    >>> from torch import tensor
    >>> grads = tensor([[[1.0, 0.0], [0.0, 1.0]]])  # one sample, two classes, two parameters
    >>> vkdnw(tensor([[0.0, 0.0]]), grads)  # eigenvalues 0 and 1/2: deciles 0.05, …, 0.45
    tensor(2.0498, dtype=torch.float64)
    """
    p = smoothed(class_scores, smoothing)
    grads = class_score_grads.double()
    centred = grads - (p.unsqueeze(-1) * grads).sum(1, keepdim=True)
    fisher = (grads.mT @ (p.unsqueeze(-1) * centred)).mean(0)
    return entropy_of_deciles(fisher)


def smoothed(class_scores: Tensor, smoothing: float) -> Tensor:
    """The softmax of each row, mixed with the uniform distribution, in float64."""
    p = class_scores.double().softmax(1)
    return p * (1 - smoothing) + smoothing / p.shape[1]


def entropy_of_deciles(fisher: Tensor, epsilon: float = 1e-10) -> Tensor:
    """−Σ q log(q + ε), q being the deciles of the eigenvalues over their sum (+ ε).

    >>> entropy_of_deciles(torch.eye(3).double())  # log 9
    tensor(2.1972, dtype=torch.float64)
    """
    if not fisher.isfinite().all():
        raise ArithmeticError("the derivatives of the outputs exceed the range of floats")
    values = torch.linalg.eigvalsh((fisher + fisher.mT) / 2).clamp(min=0)
    deciles = torch.quantile(
        values, torch.arange(1, 10, dtype=torch.float64, device=values.device) / 10
    )
    q = deciles / (deciles.sum() + epsilon)
    return -(q * (q + epsilon).log()).sum()
