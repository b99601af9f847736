"""Which axis of a tensor of features are its channels."""

from collections.abc import Iterable

from torch import Tensor, nn

__all__ = ["with_channels_first"]

CONVOLUTIONS = nn.modules.conv._ConvNd


def with_channels_first(features: Tensor, model: nn.Module, blocks: Iterable[nn.Module]) -> Tensor:
    """Features between some blocks of a model as [N, C, …], the positions last.

    The channels of [N, C] are its second axis. Of more axes, they are the second or the last:
    whichever alone is as long as one of the first two axes of some parameter. Where both are or
    neither is, they are the second of maps, if a block has a convolution, and otherwise the last.

    >>> import torch
    >>> with_channels_first(torch.zeros(2, 7, 5), nn.Linear(5, 5), []).shape
    torch.Size([2, 5, 7])
    """
    if features.ndim < 3 or is_first(features, model, blocks):
        return features
    return features.movedim(-1, 1)


def is_first(features: Tensor, model: nn.Module, blocks: Iterable[nn.Module]) -> bool:
    """Whether the second axis of at least three is that of the channels."""
    sizes = {size for parameter in model.parameters() for size in parameter.shape[:2]}
    first, last = features.shape[1] in sizes, features.shape[-1] in sizes
    if first != last:
        return first
    return features.ndim > 3 and any(
        isinstance(module, CONVOLUTIONS) for block in blocks for module in block.modules()
    )
