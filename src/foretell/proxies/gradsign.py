"""GradSign: do the gradients of different samples have the same signs?

Zhang and Jia 2022, "GradSign: Model Performance Inference with Theoretical Insights",
arXiv:2110.08616.
"""

import torch
from torch import Tensor


def gradsign(sample_signs: dict[str, Tensor]) -> Tensor:
    """Σ over all weights of |Σ_n sign(∂L_n/∂w)|, L_n being the loss of one sample.

    Each sample is run by itself in training mode, as in the authors' code: batch normalisations use
    the statistics of this sample, so the score is undefined if one of them has a single value per
    channel. The maximum is the number of weights times the number of samples; scores are not
    comparable across batch sizes.

    Limitations: weights of which the loss does not depend on add 0, and even for random signs, a
    weight adds about √N: the sum grows with the number of weights, so compare it with `params`.

    >>> from torch import tensor
    >>> gradsign({"a": tensor([3.0, -1.0, 0.0])})
    tensor(4., dtype=torch.float64)
    """
    return torch.stack([signs.double().abs().sum() for signs in sample_signs.values()]).sum()
