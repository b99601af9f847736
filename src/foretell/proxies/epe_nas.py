"""EPE-NAS: how strongly are the responses to samples of the same class correlated?

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

    r are the correlations of the gradients of the summed output with respect to the input, as in
    `jacob_cov`. For a model with more than 100 outputs, the formula is different: the inner sum of
    each class is divided by its number of samples, and the differences |e_c − e_d| of all ordered
    pairs of classes are summed and divided by the number of classes. A class with one sample has no
    correlation and is left out; the authors' code adds log(1 + ε) for it. Undefined without one
    label per sample, and if no class (above 100 outputs: no two classes) has two samples.

    Limitations: a class of n samples contributes n² terms, so scores are only comparable on the
    same batch, and they mean little with few samples per class. The two formulas have different
    scales. BatchNorm in training mode couples the samples, so a row is not the gradient of one
    sample alone.

    >>> from torch import tensor
    >>> rows = tensor([[1.0, 0.0, -1.0], [1.0, -2.0, 1.0], [0.0, 1.0, 2.0]])
    >>> epe_nas(rows, tensor([0, 0, 1]), 2)  # one pair, uncorrelated: 2 · |log 1e-5|
    tensor(23.0258, dtype=torch.float64)
    """
    if not isinstance(targets, Tensor) or targets.is_floating_point() or targets.ndim != 1:
        raise ArithmeticError("one class label per sample is needed")
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
    """Σ_ij log(|r_ij| + ε) of the correlations r of the rows."""
    if (rows == rows[:, :1]).all(1).any():
        raise ArithmeticError(
            "the gradient of the output with respect to a sample is constant, so it has no "
            "correlations"
        )
    rows = rows / rows.abs().amax(1, keepdim=True)  # squares of tiny gradients would underflow
    return (torch.corrcoef(rows).abs() + epsilon).log().sum()
