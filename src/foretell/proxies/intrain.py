"""InTrain: do activations fill their space, and are gradients healthy?

Zhou et al. 2026, "InTrain: Intrinsic Trainability for Zero-Cost Neural Architecture Search",
arXiv:2606.18676.
"""

import math

import torch
from torch import Tensor


def intrain(
    activation_moments: dict[str, Tensor],
    grads: dict[str, Tensor],
    epsilon: float = 1e-8,
    ridge: float = 1e-10,
) -> Tensor:
    """γ (1 + o) / log(L + 1), of γ = Σ_l log r_l over L activations and o = Σ_w min(1, s_w).

    r is the participation ratio (tr C)² / tr C² of the covariance C of the channels of an
    activation function's output over samples and positions, with `ridge` added to the diagonal; s =
    std(g) / (max |g| + `epsilon`) of the gradient g of a weight tensor. The mode is training mode.
    Undefined if there is no activation function or no gradient.

    The authors have not published code, and the paper does not say which tensors are meant: here,
    they are the outputs of activation functions, including functional ones, and all weights that
    count. The paper uses 64 noise images with random labels, as `--data noise` provides; here, the
    minibatch is used.

    Limitations: both sums grow with the number of layers, so compare it with `layers`. A layer with
    a constant output has the largest possible participation ratio, that of the ridge alone.

    >>> from torch import tensor
    >>> moments = tensor([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 2.0]])  # r = 2
    >>> intrain({"relu": moments}, {"w": tensor([1.0, -1.0])})  # s = 1
    tensor(2.0000, dtype=torch.float64)
    """
    ratios = [participation(moments, ridge) for moments in activation_moments.values()]
    capacity = torch.stack(ratios).log().sum()
    health = sum(spread(grad, epsilon) for grad in grads.values())
    if not math.isfinite(float(capacity * health)):
        raise ArithmeticError("activations or gradients exceed the range of floats")
    return capacity * (1 + health) / math.log(len(ratios) + 1)


def covariance(moments: Tensor) -> Tensor:
    """The covariance of x that follows from Σ (1, x)(1, x)ᵀ, in float64.

    >>> covariance(torch.tensor([[2.0, 4.0], [4.0, 10.0]]))  # x is 1 and 3
    tensor([[1.]], dtype=torch.float64)
    """
    second = moments.double() / moments[0, 0]
    mean = second[0, 1:]
    return second[1:, 1:] - torch.outer(mean, mean)


def participation(moments: Tensor, ridge: float) -> Tensor:
    """(tr C)² / tr C² of the covariance, with a ridge added to its diagonal."""
    c = covariance(moments)
    c.diagonal().add_(ridge)
    ratio: Tensor = c.trace() ** 2 / c.square().sum()
    return ratio


def spread(grad: Tensor, epsilon: float) -> Tensor:
    """min(1, std(g) / (max |g| + ε)), with the population standard deviation."""
    exact = grad.double().flatten()
    largest = exact.abs().max() if len(exact) else exact.new_zeros(())
    return (exact.std(correction=0) / (largest + epsilon)).clamp(max=1).cpu()
