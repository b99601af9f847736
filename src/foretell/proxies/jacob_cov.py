"""jacob_cov: does the untrained network already distinguish the inputs?

Mellor et al. 2020, arXiv:2006.04647v1, with the output summed over the classes as in
arXiv:2101.08134.
"""

import torch
from torch import Tensor


def jacob_cov(input_grads: Tensor, epsilon: float = 1e-5) -> Tensor:
    """−Σ_i [log(v_i + ε) + 1/(v_i + ε)], v being the eigenvalues of the rows' correlation matrix.

    A row is the gradient of one sample's summed output with respect to that sample, `[N, D]`. The
    maximum is about −N, reached if no two rows are correlated; scores are not comparable across
    batch sizes. Undefined for a single sample, and if a row is constant (its correlations are 0/0).

    Limitations: if two samples are nearly identical, one eigenvalue is near 0 and contributes
    1/ε = 100,000, which dominates the rest. BatchNorm couples the samples, so a row does not depend
    on one sample alone. The sum over classes is not the single output of the paper. Its rank
    correlation is about 0 on torchvision-like networks, and vanishes after one epoch of training.

    >>> from torch import tensor
    >>> jacob_cov(tensor([[1.0, 0.0, -1.0], [1.0, -2.0, 1.0]]))  # uncorrelated: about −2
    tensor(-2.0000, dtype=torch.float64)
    """
    if len(input_grads) < 2:
        raise ArithmeticError("a correlation needs at least two samples")
    rows = input_grads.double()
    if (rows == rows[:, :1]).all(1).any():
        raise ArithmeticError(
            "the gradient of the output with respect to a sample is constant, so it has no "
            "correlations"
        )
    if not rows.isfinite().all():
        raise ArithmeticError("the gradient of the output with respect to a sample is not finite")
    rows = rows / rows.abs().amax(1, keepdim=True)  # squares of tiny gradients would underflow
    v = torch.linalg.eigvalsh(torch.corrcoef(rows)).clamp_min(0)  # rounding may give −1e-17
    total: Tensor = ((v + epsilon).log() + 1 / (v + epsilon)).sum()
    return -total
