"""TE-NAS expressivity: into how many linear regions does the network divide its inputs?

Chen, Gong and Wang 2021, "Neural Architecture Search on ImageNet in Four GPU Hours: A Theoretically
Inspired Perspective", arXiv:2102.11535.
"""

import torch
from torch import Tensor


def te_nas_regions(codes_kernel: Tensor) -> Tensor:
    """The number of different linear regions in which the samples of the minibatch lie.

    Two samples are in the same region if every unit has the same code for both; units and codes are
    those of `nwot`. The maximum is the number of samples N. Undefined for a network without such
    units.

    Limitations: a network of ordinary size has so many units that each sample lies in a different
    region, so nearly all networks have the same score N. The authors reduce the network to one or
    two channels and use 3,000 crops of 3 × 3 pixels; do the same with a space of small networks and
    a large batch. There are two differences from their code: it counts only the units of nn.ReLU
    modules on feature maps, and draws Kaiming weights.

    >>> from torch import tensor
    >>> te_nas_regions(tensor([[5.0, 5.0, 2.0], [5.0, 5.0, 2.0], [2.0, 2.0, 5.0]]))
    tensor(2)
    """
    alike = codes_kernel == codes_kernel[0, 0]  # the diagonal is the number of units
    first_of_region = alike.int().argmax(1).tolist()
    return torch.tensor(len(set(first_of_region)))
