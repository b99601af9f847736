"""nwot: do the units of the untrained network already distinguish the inputs?

Mellor et al. 2021, "Neural Architecture Search without Training", arXiv:2006.04647v3.
"""

import torch
from torch import Tensor


def nwot(codes_kernel: Tensor) -> Tensor:
    """log |det K|, K_ij being the number of units whose codes are equal for samples i and j.

    With binary codes x, one row per sample, K = Σ_layers x xᵀ + (1 − x)(1 − x)ᵀ. The code of a unit
    is 1 if the input of its activation function is positive, and 0 otherwise. Activation functions
    are ReLU and its variants, ReLU6 and the hard sigmoids (whose second kink is ignored), GELU,
    SiLU, Mish, ELU and softplus, and a sigmoid or tanh that gates a tensor of the same shape.
    Functional activations count as well, unlike in code that searches for nn.ReLU modules. The
    maximum is N · log(number of units); scores are not comparable across batch sizes. Undefined for
    a single sample, and if two samples have the same codes.

    Limitations: the diagonal of the kernel is the number of units, so the score grows with the size
    of the network: compare it with `flops`. Skips and pooling have no kink and do not affect it,
    and neither do the labels. With few units or many samples, K is singular.

    >>> from torch import tensor
    >>> nwot(tensor([[3.0, 1.0], [1.0, 3.0]]))
    tensor(2.0794, dtype=torch.float64)
    """
    kernel = codes_kernel.double()
    if len(kernel) < 2:
        raise ArithmeticError("a kernel needs at least two samples")
    if torch.linalg.matrix_rank(kernel, hermitian=True) < len(kernel):
        alike = (kernel == kernel[0, 0]).sum() > len(kernel)
        why = "two samples have the same codes" if alike else "there are too few units"
        raise ArithmeticError(f"the kernel is singular: {why}")
    logabsdet: Tensor = torch.linalg.slogdet(kernel).logabsdet
    return logabsdet
