"""DSS: are the attention's weights diverse, and the feed-forward layers' salient?

Zhou et al. 2022, "Training-free Transformer Architecture Search", arXiv:2203.12217.
"""

import torch
from torch import Tensor


def dss(
    layer_roles: dict[str, str], weights: dict[str, Tensor], grads: dict[str, Tensor]
) -> Tensor:
    """Σ ‖∂L/∂W‖_* ‖W‖_* over the attention's weights + Σ |w · ∂L/∂w| over feed-forward layers.

    ‖·‖_* is the nuclear norm, the sum of the singular values. The attention's weights are those of
    its query, key, value and output layers; each tensor is a matrix with one row per output, and
    joint layers are one matrix. Feed-forward layers are a layer that widens its input, followed by
    an activation function, and the layer that restores the width. Undefined if the network has no
    attention.

    Limitations: it grows with depth and width: compare it with `params`. A joint matrix of queries,
    keys and values has a different norm from that of three matrices. The authors differentiate the
    summed output of the network with weights |w| for one sample of ones, and add the patch
    embedding and the classifier to the second sum.

    >>> from torch import eye
    >>> dss({"q": "projection"}, {"q": eye(2)}, {"q": 3 * eye(2)})  # 2 · 6
    tensor(12., dtype=torch.float64)
    """
    total = torch.zeros((), dtype=torch.float64)
    for name, role in layer_roles.items():
        if name in grads:
            w, g = weights[name].double(), grads[name].double()
            diverse = role in ("projection", "output")
            total += (nuclear(w) * nuclear(g) if diverse else (w * g).abs().sum()).cpu()
    return total


def nuclear(matrix: Tensor) -> Tensor:
    """The nuclear norm of a weight as a matrix with one row per output."""
    values: Tensor = torch.linalg.svdvals(matrix.flatten(1))
    return values.sum()
