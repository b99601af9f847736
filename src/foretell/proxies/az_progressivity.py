"""az_progressivity: do the features become more isotropic from block to block?

Lee and Ham 2024, "AZ-NAS", arXiv:2403.19232.
"""

from torch import Tensor

from foretell.proxies.az_expressivity import entropies


def az_progressivity(block_spectra: list[Tensor], epsilon: float = 1e-8) -> Tensor:
    """The smallest increase of the entropy from one boundary of blocks to the next.

    Entropies, boundaries, weights, inputs and mode are as in `az_expressivity`. Undefined if
    `az_expressivity` is undefined.

    Limitations: a single block determines the value, often one that changes neither resolution nor
    width; in networks of identical blocks, the value is noise around a small negative number.

    >>> from torch import tensor
    >>> az_progressivity([tensor([0.0, 2.0]), tensor([1.0, 1.0]), tensor([1.0, 1.0])])
    tensor(0., dtype=torch.float64)
    """
    return entropies(block_spectra, epsilon).diff().min()
