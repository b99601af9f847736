"""VKDNW as computed by the authors' code.

Týbl and Neumann 2025, arXiv:2502.04975, and their code.
"""

import torch
from torch import Tensor

from foretell.proxies.vkdnw import entropy_of_deciles, smoothed


def vkdnw_reference(
    class_scores: Tensor, class_score_grads: Tensor, smoothing: float = 0.05
) -> Tensor:
    """As `vkdnw`, for mean_n (L_n J_n)ᵀ(L_n J_n), where L_n L_nᵀ = diag(p) − p pᵀ is triangular.

    The Fisher matrix is that of (L_nᵀ J_n)ᵀ(L_nᵀ J_n); the authors' code lacks the transposition.
    Everything else is as in `vkdnw`. Their smoothing is rounded to half precision, 0.049988.

    Limitations: those of `vkdnw`; moreover, the value depends on the order of the classes.

    >>> from torch import tensor
    >>> grads = tensor([[[1.0, 0.0], [0.0, 1.0]]])
    >>> vkdnw_reference(tensor([[0.0, 0.0]]), grads)
    tensor(2.0498, dtype=torch.float64)
    """
    factors = triangular(smoothed(class_scores, smoothing)) @ class_score_grads.double()
    return entropy_of_deciles((factors.mT @ factors).mean(0))


def triangular(p: Tensor) -> Tensor:
    """L of each row: its column j is √(p_j q_j / q_{j−1}) times 1, and −p_i / q_j below.

    q_j = 1 − p_1 − … − p_j, and 0 for the last.

    >>> p = torch.tensor([[0.2, 0.3, 0.5]]).double()
    >>> torch.allclose(triangular(p)[0] @ triangular(p)[0].T, p[0].diag() - torch.outer(p[0], p[0]))
    True
    """
    q = 1 - p.cumsum(1)
    q[:, -1] = 0
    before = torch.cat([torch.ones_like(q[:, :1]), q[:, :-1]], 1)
    size = (p * q / before).clamp(min=0).sqrt()
    below = -p.unsqueeze(2) / q.clamp(min=torch.finfo(q.dtype).tiny).unsqueeze(1)
    found = below.tril(-1) + torch.eye(p.shape[1], dtype=p.dtype, device=p.device)
    return found * size.unsqueeze(1)
