"""SynFlow as computed by the code of arXiv:2101.08134, as a logarithm."""

from torch import Tensor

from foretell.proxies.synflow import synflow


def synflow_reference(
    reference_flow_weights: dict[str, Tensor],
    reference_flow_grads: dict[str, Tensor],
    reference_flow_exponent: int,
) -> Tensor:
    """`synflow` with only BatchNorm1d and BatchNorm2d bypassed, and with dropout.

    In the authors' NAS-Bench-201 network, the reduction blocks keep their BatchNorm; the
    `reference` variant of the space marks these layers, and this score respects the mark. The
    authors' code also takes the absolute values of buffers, which turns a mask of −∞ into +∞; here
    buffers keep their values.

    Limitations: those of `synflow`; in addition, it keeps LayerNorm, GroupNorm and BatchNorm3d,
    behind which the flow is independent of the scale of the weights, and dropout adds noise.

    >>> from torch import tensor
    >>> synflow_reference({"a": tensor([1.0, 2.0])}, {"a": tensor([0.5, 0.25])}, 0)
    tensor(0., dtype=torch.float64)
    """
    return synflow(reference_flow_weights, reference_flow_grads, reference_flow_exponent)
