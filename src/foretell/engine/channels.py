"""Find the axis of the channels in a tensor of features."""

from collections.abc import Iterable

from torch import Tensor, nn

__all__ = ["with_channels_first"]

CONVOLUTIONS = nn.modules.conv._ConvNd


def with_channels_first(features: Tensor, model: nn.Module, blocks: Iterable[nn.Module]) -> Tensor:
    """Features between blocks of a model, converted to [N, C, …] with the positions last.

    With two axes, the channels are the second one. With more axes, they are the second or the last:
    the one whose length is that of one of the first two axes of some parameter. If both or neither
    are, the channels are the second axis of maps (more than three axes) if a block has a
    convolution, and otherwise the last axis.

    >>> import torch
    >>> with_channels_first(torch.zeros(2, 7, 5), nn.Linear(5, 5), []).shape
    torch.Size([2, 5, 7])
    """
    if features.ndim < 3 or is_first(features, model, blocks):
        return features
    return features.movedim(-1, 1)


def is_first(features: Tensor, model: nn.Module, blocks: Iterable[nn.Module]) -> bool:
    """Whether the channels of features with at least three axes are on the second axis."""
    sizes = {size for parameter in model.parameters() for size in parameter.shape[:2]}
    first, last = features.shape[1] in sizes, features.shape[-1] in sizes
    if first != last:
        return first
    return features.ndim > 3 and any(
        isinstance(module, CONVOLUTIONS) for block in blocks for module in block.modules()
    )
