"""az_progressivity: do the features become more isotropic from block to block?

Lee and Ham 2024, "AZ-NAS", arXiv:2403.19232.
"""

from torch import Tensor

from foretell.proxies.az_expressivity import entropies


def az_progressivity(block_spectra: list[Tensor], epsilon: float = 1e-8) -> Tensor:
    """The smallest increase of the entropy from one boundary of blocks to the next.

    Entropies, boundaries, weights, inputs and mode are those of `az_expressivity`. Undefined where
    that score is.

    Limitations: a single block decides, often one that reduces nothing and widens nothing; in
    networks of equal blocks, the value is noise around a small negative number.

    >>> from torch import tensor
    >>> az_progressivity([tensor([0.0, 2.0]), tensor([1.0, 1.0]), tensor([1.0, 1.0])])
    tensor(0., dtype=torch.float64)
    """
    return entropies(block_spectra, epsilon).diff().min()
