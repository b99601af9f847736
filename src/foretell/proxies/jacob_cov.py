"""jacob_cov: does the untrained network already tell the inputs apart?

Mellor et al. 2020, arXiv:2006.04647v1, with the output summed over the classes as in
arXiv:2101.08134.
"""

import torch
from torch import Tensor


def jacob_cov(input_grads: Tensor, epsilon: float = 1e-5) -> Tensor:
    """−Σ_i [log(v_i + ε) + 1/(v_i + ε)], v being the eigenvalues of the rows' correlation matrix.

    A row is the gradient of one sample's summed output with respect to that sample, `[N, D]`.
    At most about −N, reached when no two rows are correlated; not comparable across batch sizes.
    Undefined for one sample, and where a row is constant (its correlations are 0/0).

    Fails where: two samples are nearly alike: one eigenvalue near 0 costs 1/ε, a hundred thousand,
    and drowns the rest. BatchNorm couples the samples, so a row is not one sample's alone. The sum
    over classes is not the paper's single output. About 0 on untrained torchvision-like networks,
    and it is gone after one epoch of training.

    >>> from torch import tensor
    >>> jacob_cov(tensor([[1.0, 0.0, -1.0], [1.0, -2.0, 1.0]]))  # uncorrelated: about −2
    tensor(-2.0000, dtype=torch.float64)
    """
    if len(input_grads) < 2:
        raise ArithmeticError("a correlation needs at least two samples")
    rows = input_grads.double()
    if (rows == rows[:, :1]).all(1).any():
        raise ArithmeticError("the output's gradient by some sample is constant: no correlation")
    if not rows.isfinite().all():
        raise ArithmeticError("the output's gradient by some sample is not finite")
    rows = rows / rows.abs().amax(1, keepdim=True)  # squares of tiny gradients would vanish
    v = torch.linalg.eigvalsh(torch.corrcoef(rows)).clamp_min(0)  # rounding may leave −1e-17
    total: Tensor = ((v + epsilon).log() + 1 / (v + epsilon)).sum()
    return -total
