"""SynFlow with normalisation, a variant in the code of arXiv:2101.08134."""

from torch import Tensor

from foretell.proxies.synflow import synflow


def synflow_bn(
    normed_flow_weights: dict[str, Tensor],
    normed_flow_grads: dict[str, Tensor],
    normed_flow_exponent: int,
) -> Tensor:
    """`synflow` of the network including its normalisations: log Σ |w · ∂R/∂w|.

    BatchNorm uses the statistics of the single sample of ones, or its running statistics if it is
    frozen; dropout is bypassed.

    Limitations: it is not SynFlow. A normalisation subtracts means, so the flow is neither positive
    nor linear; a layer before it has Σ w · ∂R/∂w = 0, and only the absolute values prevent
    cancellation. For maps of one pixel, the statistics of BatchNorm and hence the score are
    undefined. The feature maps of a sample of ones are constant except near the padding, so their
    scale depends on ε.

    >>> from torch import tensor
    >>> synflow_bn({"a": tensor([1.0, 2.0])}, {"a": tensor([0.5, 0.25])}, 0)
    tensor(0., dtype=torch.float64)
    """
    return synflow(normed_flow_weights, normed_flow_grads, normed_flow_exponent)
