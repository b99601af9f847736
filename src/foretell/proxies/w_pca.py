"""W-PCA: how many directions do the hidden layers of a transformer use?

Wang 2025, "W-PCA Based Gradient-Free Proxy for Efficient Search of Lightweight Language Models",
arXiv:2504.15983.
"""

import torch
from torch import Tensor

from foretell.proxies.intrain import covariance


def w_pca(
    parameters: dict[str, Tensor], feed_forward_moments: dict[str, Tensor], share: float = 0.99
) -> Tensor:
    """Number of parameters · Σ over feed-forward layers of their number of principal components.

    The number of components is the fewest principal components, over samples and positions, that
    explain more than `share` of the variance of the first layer's output, before the activation
    function. A feed-forward layer is a layer that widens its input, followed by an activation
    function and a layer that restores the width; for a gated one, the input of the activation
    function counts. Undefined without feed-forward layers.

    Limitations: it mostly measures size: compare it with `params`. If the minibatch has fewer
    positions than a layer has channels, the number of positions bounds the number of components.

    >>> moments = torch.diag(torch.tensor([4.0, 4.0, 4.0]))  # two equal channels
    >>> w_pca({"w": torch.ones(5)}, {"dense": moments})
    tensor(10., dtype=torch.float64)
    """
    size = sum(parameter.numel() for parameter in parameters.values())
    counts = [components(moments, share) for moments in feed_forward_moments.values()]
    return torch.tensor(float(size * sum(counts)), dtype=torch.float64)


def components(moments: Tensor, share: float) -> int:
    """The fewest principal components that explain more than a share of the variance.

    `moments` is Σ (1, x)(1, x)ᵀ.
    """
    spread = covariance(moments)
    if not spread.isfinite().all():
        raise ArithmeticError("the output of a feed-forward layer exceeds the range of floats")
    values = torch.linalg.eigvalsh(spread).clamp(min=0).flip(0)
    enough = values.cumsum(0) > share * values.sum()
    return int(enough.int().argmax()) + 1
