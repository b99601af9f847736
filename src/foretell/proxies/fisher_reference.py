"""Fisher as in the code of arXiv:2101.08134: each channel counts once for each of its weights."""

import torch
from torch import Tensor

from foretell.proxies.fisher import channel_saliency


def fisher_reference(taylor: dict[str, Tensor], fan_in: dict[str, int]) -> Tensor:
    """Sum over layers of fan-in times the `fisher` of the layer.

    The authors copy the saliency of a channel to each of its weights and sum the copies.

    Limitations: those of `fisher`; in addition, channels with a large fan-in have a larger weight,
    for which the definition of the score gives no reason.

    >>> from torch import tensor
    >>> fisher_reference({"a": tensor([[1.0, 2.0], [3.0, 0.0]])}, {"a": 9})
    tensor(31.5000)
    """
    return torch.stack(
        [channel_saliency(t).sum() * fan_in[name] for name, t in taylor.items()]
    ).sum()
