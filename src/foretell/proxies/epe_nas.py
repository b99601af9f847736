"""EPE-NAS: does the untrained network respond to samples of one class in different ways?

Lopes et al. 2021, "EPE-NAS: Efficient Performance Estimation Without Training",
arXiv:2102.08099.
"""

import torch
from torch import Tensor

MANY_CLASSES = 100


def epe_nas(
    input_grads: Tensor, targets: Tensor, output_width: int, epsilon: float = 1e-5
) -> Tensor:
    """Σ over classes of |Σ_ij log(|r_ij| + ε)|, r being the correlations within a class.

    r correlates the samples' gradients of the summed output by the input, as in `jacob_cov`. A
    model with more than 100 outputs gets another formula: each class's inner sum is divided by its
    number of samples, and the differences |e_c − e_d| of all ordered pairs of classes are summed
    and divided by the number of classes. A class of one sample has no correlation and is left
    out; the authors' code adds log(1 + ε) for it. Undefined without a label for each sample, and
    where no class (above 100 outputs: no two classes) has two samples.

    Fails where: the batch has few samples a class; a class of n counts n² terms, so scores
    compare only on one batch. The two formulas share no scale. BatchNorm in training mode couples
    the samples, so a row is not one sample's gradient alone.

    >>> from torch import tensor
    >>> rows = tensor([[1.0, 0.0, -1.0], [1.0, -2.0, 1.0], [0.0, 1.0, 2.0]])
    >>> epe_nas(rows, tensor([0, 0, 1]), 2)  # one pair, uncorrelated: 2 · |log 1e-5|
    tensor(23.0258, dtype=torch.float64)
    """
    if not isinstance(targets, Tensor) or targets.is_floating_point() or targets.ndim != 1:
        raise ArithmeticError("epe_nas needs one class label a sample")
    classes = [input_grads[targets == label].double() for label in torch.unique(targets)]
    classes = [rows for rows in classes if len(rows) > 1]
    many = output_width > MANY_CLASSES
    if len(classes) < 1 + many:
        fewer = "fewer than two classes have" if many else "no class has"
        raise ArithmeticError(f"{fewer} two samples in this batch")
    sums = torch.stack([log_correlations(rows, epsilon) for rows in classes])
    if not many:
        return sums.abs().sum()
    means = sums / sums.new_tensor([len(rows) for rows in classes])
    return (means - means[:, None]).abs().sum() / len(means)


def log_correlations(rows: Tensor, epsilon: float) -> Tensor:
    """Σ_ij log(|r_ij| + ε) of the rows' correlations r."""
    if (rows == rows[:, :1]).all(1).any():
        raise ArithmeticError("the output's gradient by some sample is constant: no correlation")
    rows = rows / rows.abs().amax(1, keepdim=True)  # squares of tiny gradients would vanish
    return (torch.corrcoef(rows).abs() + epsilon).log().sum()
