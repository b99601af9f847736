"""Records the last features before they are pooled, and the variances that BatchNorm uses."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from foretell.engine.observer import Observer, Then
from foretell.engine.operations import MAPS_TO_ONE, MEANS, POOLS, NormCall

__all__ = ["FeatureWatch"]


class FeatureWatch(Observer):
    """Records the input of the last pooling of whole maps, and the variances of each BatchNorm.

    A pooling is an adaptive average pooling, an average pooling to a single value, or a mean over
    all axes except those of samples and channels.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features: Tensor | None = None
        self.variances: list[Tensor] = []

    def look(
        self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Then | None:
        if func is F.batch_norm:
            self.variances.append(variances(NormCall(*args, **kwargs)))
        elif func in MAPS_TO_ONE or (func in MEANS and averages_maps(*args, **kwargs)):
            self._keep(args, kwargs)
        elif func in POOLS:
            return lambda out: self._keep(args, kwargs) if set(out.shape[2:]) == {1} else None
        return None

    def _keep(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Keep a copy of the input of a pooling, which may be overwritten."""
        self.features = (args[0] if args else kwargs["input"]).clone()


def averages_maps(
    input: Tensor, dim: Any = None, keepdim: bool = False, *, axis: Any = None, **_: Any
) -> bool:
    """Whether a mean is over all axes except those of samples and channels.

    Over a sequence `[N, T, C]`, a mean that keeps its axis belongs to a normalisation.

    >>> averages_maps(torch.ones(2, 3, 4, 4), (2, 3)), averages_maps(torch.ones(2, 5, 3), -1, True)
    (True, False)
    """
    dim = axis if dim is None else dim
    if dim is None or input.ndim < 3:
        return False
    axes = {axis % input.ndim for axis in ([dim] if isinstance(dim, int) else dim)}
    return 0 not in axes and len(axes) == input.ndim - 2 and (input.ndim > 3 or not keepdim)


def variances(call: NormCall) -> Tensor:
    """The variance of each channel that a BatchNorm uses, without ε."""
    if call.training or call.running_var is None:
        return torch.var(call.input, [0, *range(2, call.input.ndim)], correction=0)
    return call.running_var.clone()
