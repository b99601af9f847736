"""Fisher: how much would the loss change if a channel were removed?

Theis et al. 2018, arXiv:1801.05787; per channel as in BlockSwap, Turner et al. 2020,
arXiv:1906.04113.
"""

import torch
from torch import Tensor


def fisher(taylor: dict[str, Tensor]) -> Tensor:
    """Sum over layers and channels of ½ · mean_n (Σ_position a · ∂L/∂a)².

    `a` is the output of a layer before any normalisation or activation function. A product with a
    weight, such as `x @ w.T`, is a layer; its output includes its bias, however it is added.

    Limitations: like SNIP, it is unreliable on tasks other than those of NAS-Bench-201, and even
    there it is weaker (rank correlation 0.36). Because of the square, a few channels dominate the
    sum. A recurrent or attention layer counts as one layer.

    >>> from torch import tensor
    >>> fisher({"a": tensor([[1.0, 2.0], [3.0, 0.0]])})  # two samples, two channels
    tensor(3.5000)
    """
    return torch.stack([channel_saliency(t).sum() for t in taylor.values()]).sum()


def channel_saliency(taylor: Tensor) -> Tensor:
    """½ · mean over the samples of the squared Taylor term, one value per channel.

    >>> from torch import tensor
    >>> channel_saliency(tensor([[1.0, 2.0], [3.0, 0.0]]))
    tensor([2.5000, 1.0000])
    """
    return taylor.square().mean(0) / 2
