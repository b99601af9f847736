"""Records the last features before they are pooled, and the variances that BatchNorm uses."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from foretell.engine.observer import Observer, Then
from foretell.engine.observers.samples import Samples
from foretell.engine.operations import MAPS_TO_ONE, MEANS, POOLS, NormCall
from foretell.engine.samples.layout import Layout

__all__ = ["FeatureWatch"]


class FeatureWatch(Observer):
    """Records the input of the last pooling of whole maps, and the variances of each BatchNorm.

    A pooling is an adaptive average pooling, an average pooling to a single value, or a mean over
    all axes except those of samples and channels; `samples` looks on as well, from outside.
    """

    def __init__(self, samples: Samples) -> None:
        super().__init__()
        self.features: Tensor | None = None
        self.variances: list[Tensor] = []
        self._samples = samples
        self.why = ""
        """Why it is not known which features are the last; else empty."""

    def look(
        self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Then | None:
        if func is F.batch_norm:
            self.variances.append(variances(NormCall(*args, **kwargs)))
        elif func in MAPS_TO_ONE or (func in MEANS and self._averages_maps(args, kwargs)):
            self._keep(args, kwargs)
        elif func in POOLS:
            return lambda out: self._keep(args, kwargs) if set(out.shape[2:]) == {1} else None
        return None

    def _averages_maps(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Whether a mean is over all axes except those of samples and channels."""
        axes = averaged(*args, **kwargs)
        if len(axes) != args[0].ndim - 2:
            return False
        samples = self._sample_axis(args[0])
        if samples is None and args[0].ndim == 3:
            self.why = (
                f"the samples are not followed to the input of a mean, of shape "
                f"{list(args[0].shape)}, so whether it pools the last features is not known"
            )
        return samples not in axes if samples is not None else 0 not in axes

    def _sample_axis(self, x: Tensor) -> int | None:
        """The axis along which the samples lie; None if it is not known."""
        if self._samples.samples == 1:
            return list(x.shape).index(1) if 1 in x.shape else None
        found = self._samples.of(x)
        return found.axis if isinstance(found, Layout) else None

    def _keep(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Keep a copy of the input of a pooling, which may be overwritten."""
        self.features, self.why = (args[0] if args else kwargs["input"]).clone(), ""


def averaged(
    input: Tensor, dim: Any = None, keepdim: bool = False, *, axis: Any = None, **_: Any
) -> set[int]:
    """The axes that a mean is over; none for a mean of everything.

    Over a sequence `[N, T, C]`, a mean that keeps its axis belongs to a normalisation.

    >>> averaged(torch.ones(2, 3, 4, 4), (2, 3)), averaged(torch.ones(2, 5, 3), -1, True)
    ({2, 3}, set())
    """
    dim = axis if dim is None else dim
    if dim is None or input.ndim < 3 or (keepdim and input.ndim == 3):
        return set()
    return {axis % input.ndim for axis in ([dim] if isinstance(dim, int) else dim)}


def variances(call: NormCall) -> Tensor:
    """The variance of each channel that a BatchNorm uses, without ε."""
    if call.training or call.running_var is None:
        return torch.var(call.input, [0, *range(2, call.input.ndim)], correction=0)
    return call.running_var.clone()
