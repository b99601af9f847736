"""az_expressivity: how isotropic are the features between the blocks?

Lee and Ham 2024, "AZ-NAS: Assembling Zero-Cost Proxies for Network Architecture Search",
arXiv:2403.19232.
"""

from collections.abc import Iterator

import torch
from torch import Tensor


def az_expressivity(block_spectra: list[Tensor], epsilon: float = 1e-8) -> Tensor:
    """Σ over the boundaries of blocks of the entropy −Σ p log(p + ε) of the normalised eigenvalues.

    A boundary is the output of the stem or of a block; the eigenvalues λ are those of the
    covariance of its channels over all samples and positions, and p = λ / Σ λ. Weights are drawn
    from N(0, 2 / fan-in) and inputs from N(0, 1), except for token ids, which come from the
    minibatch. The value depends on the random numbers, so use several seeds. A network with batch
    normalisation is run in training mode and any other in evaluation mode, as the authors do for
    transformers. Blocks are modules of the same kind in an nn.Sequential or nn.ModuleList that run
    one after another. Undefined if there are no blocks, or if an output is constant (the authors
    rank such a network last).

    Limitations: each boundary adds at most the logarithm of its channels, so the sum grows with the
    number of blocks and with the width, and depends on how the network is divided into blocks. It
    is independent of the data, the initialisation, and the labels.

    >>> from torch import tensor
    >>> az_expressivity([tensor([1.0, 1.0]), tensor([0.0, 2.0])])  # log 2 + 0
    tensor(0.6931, dtype=torch.float64)
    """
    return entropies(block_spectra, epsilon).sum()


def entropies(block_spectra: list[Tensor], epsilon: float) -> Tensor:
    """−Σ p log(p + ε) of the normalised eigenvalues at each boundary."""
    return torch.stack([-(p * (p + epsilon).log()).sum() for p in normalised(block_spectra)])


def normalised(block_spectra: list[Tensor]) -> Iterator[Tensor]:
    """The eigenvalues at each boundary, divided by their sum."""
    for spectrum in block_spectra:
        total = spectrum.double().sum()
        if not total.isfinite():
            raise ArithmeticError("the output of a block exceeds the range of floats")
        if total == 0:
            raise ArithmeticError("the output of the stem or of a block does not vary")
        yield spectrum.double() / total
