"""SynFlow with normalisation kept, which the code of arXiv:2101.08134 has beside `synflow`."""

from torch import Tensor

from foretell.proxies.synflow import synflow


def synflow_bn(
    normed_flow_weights: dict[str, Tensor],
    normed_flow_grads: dict[str, Tensor],
    normed_flow_exponent: int,
) -> Tensor:
    """`synflow` of the network with its normalisations, in logarithm: log Σ |w · ∂R/∂w|.

    BatchNorm uses the statistics of the one sample of ones, or |running| ones where they are
    frozen; dropout is bypassed.

    Fails where: it is taken for SynFlow. A normalisation subtracts means, so the flow is no longer
    positive nor linear; a layer before it has Σ w · ∂R/∂w = 0 and only the absolute values keep
    its terms from cancelling. Maps of one pixel leave BatchNorm nothing to average: undefined.
    A sample of ones has constant maps but for the padding, so ε decides how they are scaled.

    >>> from torch import tensor
    >>> synflow_bn({"a": tensor([1.0, 2.0])}, {"a": tensor([0.5, 0.25])}, 0)
    tensor(0., dtype=torch.float64)
    """
    return synflow(normed_flow_weights, normed_flow_grads, normed_flow_exponent)
