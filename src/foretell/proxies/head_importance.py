"""Head importance: how much does the loss depend on the weights of the attention?

Serianni and Kalita 2023, "Training-free Neural Architecture Search for RNNs and Transformers",
arXiv:2306.00288.
"""

import torch
from torch import Tensor


def head_importance(
    layer_roles: dict[str, str], weights: dict[str, Tensor], grads: dict[str, Tensor]
) -> Tensor:
    """Sum over the weights of query, key and value layers of |w · ∂L/∂w|.

    The layers are those whose output an attention uses as queries, keys or values, without another
    layer in between. Undefined if the network has no attention.

    Limitations: those of `snip`, which sums the same terms over all weights. The authors
    differentiate the summed output instead of the loss.

    >>> from torch import tensor
    >>> w, g = {"q": tensor([1.0, 2.0])}, {"q": tensor([3.0, -1.0])}
    >>> head_importance({"q": "projection"}, w, g)
    tensor(5., dtype=torch.float64)
    """
    names = [name for name, role in layer_roles.items() if role == "projection" and name in grads]
    if not names:
        raise ArithmeticError("no layer gives the queries, keys or values of the attention")
    return torch.stack([(weights[n].double() * grads[n]).abs().sum() for n in names]).sum()
