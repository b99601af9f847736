"""nwot: do the units of the untrained network already tell the inputs apart?

Mellor et al. 2021, "Neural Architecture Search without Training", arXiv:2006.04647v3.
"""

import torch
from torch import Tensor


def nwot(codes_kernel: Tensor) -> Tensor:
    """log |det K|, K_ij being the number of units on the same side of their kink for i and j.

    With binary codes x, one row a sample, K = Σ_layers x xᵀ + (1 − x)(1 − x)ᵀ. A unit's code is 1
    where the input of its activation is positive: of ReLU and its kin, ReLU6 and the hard
    sigmoids (whose second kink is not coded), and of GELU, SiLU, Mish, ELU and softplus; of a
    sigmoid or tanh where it gates a tensor of its own shape. Functional activations count, which
    code that looks for nn.ReLU modules does not see. At most N · log(number of units); not
    comparable across batch sizes. Undefined for one sample and where two have the same codes.

    Fails where: networks differ in size. The kernel's diagonal is the number of units, so the
    score grows with it: compare with `flops`. Nor does it see a skip or a pooling, which have no
    kink, nor anything of the labels. A network with few units or many samples has a singular K.

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
