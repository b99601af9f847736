"""Fisher as the code of arXiv:2101.08134 sums it: each channel as often as it has weights."""

import torch
from torch import Tensor

from foretell.proxies.fisher import channel_saliency


def fisher_reference(taylor: dict[str, Tensor], fan_in: dict[str, int]) -> Tensor:
    """Sum over layers of fan-in times the `fisher` of the layer.

    The authors copy a channel's saliency to every weight of the channel and sum the copies.

    Fails where: `fisher` does; besides, the copies count channels with a large fan-in more often
    than the definition of the score knows any reason for.

    >>> from torch import tensor
    >>> fisher_reference({"a": tensor([[1.0, 2.0], [3.0, 0.0]])}, {"a": 9})
    tensor(31.5000)
    """
    return torch.stack(
        [channel_saliency(t).sum() * fan_in[name] for name, t in taylor.items()]
    ).sum()
