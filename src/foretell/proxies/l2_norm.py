"""l2_norm: how large are the weight tensors?

The code of Abdelfattah et al. 2021, arXiv:2101.08134, where it raises an error; one of the thirteen
proxies of NAS-Bench-Suite-Zero.
"""

import torch
from torch import Tensor


def l2_norm(weights: dict[str, Tensor]) -> Tensor:
    """Sum over the weight tensors of the Euclidean norm, Σ_l ‖W_l‖₂.

    Limitations: it depends on the sizes and the initialisation of layers, but not on how they are
    connected: with PyTorch's default initialisation, a layer with n outputs adds √(n/3), regardless
    of its inputs. Networks that are initialised differently are not comparable.

    >>> from torch import tensor
    >>> l2_norm({"a": tensor([3.0, 4.0]), "b": tensor([[-2.0]])})
    tensor(7.)
    """
    return torch.stack([w.norm() for w in weights.values()]).sum()
