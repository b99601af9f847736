"""l2_norm: how long are the weight tensors?

The code of Abdelfattah et al. 2021, arXiv:2101.08134, where it fails when called; one of
NAS-Bench-Suite-Zero's thirteen.
"""

import torch
from torch import Tensor


def l2_norm(weights: dict[str, Tensor]) -> Tensor:
    """Sum over the weight tensors of the Euclidean norm, Σ_l ‖W_l‖₂.

    Fails where: it is taken to see the architecture. It knows the layers' sizes and initialisation
    and nothing of how they are connected: under PyTorch's default a layer of n outputs adds √(n/3),
    whatever its inputs. Networks that are initialised in different ways are not comparable.

    >>> from torch import tensor
    >>> l2_norm({"a": tensor([3.0, 4.0]), "b": tensor([[-2.0]])})
    tensor(7.)
    """
    return torch.stack([w.norm() for w in weights.values()]).sum()
