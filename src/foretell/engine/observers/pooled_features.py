"""Record the last features before they are pooled, and the variances that BatchNorm uses."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from foretell.batch import tensors
from foretell.engine.observer import Observer, Then
from foretell.engine.observers.activations import plain_name
from foretell.engine.observers.samples import STRANGE, Lost, Samples
from foretell.engine.operations import (
    ARITHMETIC,
    BATCH_NORMS,
    INTERNAL,
    JOINS,
    MAPS_TO_ONE,
    MEANS,
    POOLS,
    NormCall,
)
from foretell.engine.samples.layout import Layout, Without
from foretell.errors import Undefined

__all__ = ["FeatureWatch"]


@dataclass(eq=False)
class Pooling:
    """A pooling of feature maps: a copy of the maps, the pooled axes, and the means."""

    features: Tensor
    axes: set[int]
    means: Tensor
    left: list[int]
    """The axis of the maps that corresponds to each axis of the means."""
    depending: Any = field(default_factory=WeakTensorKeyDictionary)
    """The tensors that are computed from the means."""

    def __post_init__(self) -> None:
        self.depending[self.means] = True

    def returns_to(self, given: list[Tensor]) -> bool:
        """Whether an operation combines a tensor computed from the means with the maps."""
        shape = self.features.shape
        return any(tensor in self.depending for tensor in given) and any(
            tensor.ndim == len(shape) and all(tensor.shape[a] == shape[a] for a in self.axes)
            for tensor in given
            if tensor not in self.depending
        )


class FeatureWatch(Observer):
    """Within the block, record the input of the last global pooling, and the BatchNorm variances.

    A global pooling is an adaptive average pooling, an average pooling to a single value, or a mean
    or a sum over all axes except those of samples and channels, in one or several steps. Means that
    are combined with the maps again, as in a normalisation or a gate, do not count. `samples` must
    be active around this observer.
    """

    def __init__(self, samples: Samples) -> None:
        super().__init__()
        self.variances: list[Tensor] = []
        self._samples = samples
        self._poolings: list[Pooling] = []
        self._mean: Pooling | None = None
        self._maps = False
        self.why = ""
        """The reason why the last features are not known; empty if they are."""

    @property
    def is_unsure(self) -> bool:
        """Whether an operation that cannot be observed may return numbers."""
        return bool(self._samples.questions[STRANGE])

    @property
    def features(self) -> Tensor | None:
        """The last features before they are pooled; None if no features are pooled."""
        return self._poolings[-1].features if self._poolings else None

    def output(self, output: Tensor) -> Tensor:
        """The last features, or the output if no features are pooled. Raises Undefined."""
        if not self._poolings and self._maps and (by := self._lost(output)):
            self.why = (
                f"the samples are followed only to {by}, not to the output, so whether that "
                "pools the last features is not known"
            )
        if self._samples.unseen:
            self.why = f"{self._samples.unseen}, and may pool the last features"
        if self.why:
            raise Undefined(self.why)
        return output if self.features is None else self.features

    def look(
        self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Then | None:
        if func in BATCH_NORMS:
            self.variances.append(variances(BATCH_NORMS[func](*args, **kwargs)))
        if name in INTERNAL:
            self._samples.unseen = f"`{name}` is not followed"
        given = tensors([args, kwargs])
        self._maps |= any(tensor.ndim > 2 for tensor in given)
        if plain_name(name) in MEETINGS:
            self._poolings = [one for one in self._poolings if not one.returns_to(given)]
        depends = [p for p in self._poolings if any(tensor in p.depending for tensor in given)]
        pools = func in MAPS_TO_ONE or func in POOLS
        means = func in MEANS or (name in SUMMED and args[0].ndim > 3)
        axes = averaged(*args, **kwargs) if means else set()
        features = args[0].clone() if pools or axes else None

        def then(out: Any) -> None:
            for pooling in depends:
                for tensor in tensors(out):
                    pooling.depending[tensor] = True
            if features is not None and axes:
                self._averaged(args[0], features, axes, out)
            elif features is not None and (func in MAPS_TO_ONE or set(out.shape[2:]) == {1}):
                spread = set(range(2, features.ndim))
                self._keep(Pooling(features, spread, out, list(range(out.ndim))))

        return then

    def _averaged(self, x: Tensor, features: Tensor, axes: set[int], means: Tensor) -> None:
        """Record a mean over some axes, possibly of means over other axes."""
        left = [axis for axis in range(x.ndim) if means.ndim == x.ndim or axis not in axes]
        last = self._mean
        if last is not None and last.means is x:
            features, axes = last.features, last.axes | {last.left[axis] for axis in axes}
            left = [last.left[axis] for axis in left]
        self._mean = Pooling(features, axes, means, left)
        if self._are_maps(x, features, axes):
            self._keep(self._mean)

    def _are_maps(self, x: Tensor, features: Tensor, axes: set[int]) -> bool:
        """Whether a mean over the axes is over all except those of samples and channels."""
        if len(axes) != features.ndim - 2:
            return False
        if by := self._lost(x):
            self.why = (
                f"the samples are not followed through {by} to the input of a mean, of shape "
                f"{list(features.shape)}, so whether it pools the last features is not known"
            )
        found = self._samples.of(x)
        return isinstance(found, Layout) and found.axis not in axes

    def _lost(self, x: Tensor) -> str:
        """The operation after which the samples are lost; empty if they are not."""
        found = self._samples.of(x)
        if isinstance(found, Lost):
            return found.by
        strange = found is Without.COMMON and self._samples.questions[STRANGE]
        return "an operation that cannot be observed" if strange else ""

    def _keep(self, pooling: Pooling) -> None:
        """Keep a pooling and the one before, in case this one turns out not to be a pooling."""
        self._poolings = [*self._poolings[-1:], pooling]
        self.why = ""


MEETINGS = ARITHMETIC | JOINS | {"where", "lerp", "addcmul", "addcdiv"}
"""Operations by which means are combined with the maps that they were computed from."""


SUMMED = {"sum", "nansum", "nanmean"}
"""Of maps, they pool as a mean does; of anything else, a sum is used for much else."""


def averaged(
    input: Tensor, dim: Any = None, keepdim: bool = False, *, axis: Any = None, **_: Any
) -> set[int]:
    """The axes of a mean; empty for a mean over all axes, or of vectors.

    >>> averaged(torch.ones(2, 3, 4, 4), (2, -1)), averaged(torch.ones(2, 3), -1)
    ({2, 3}, set())
    """
    dim = axis if dim is None else dim
    if dim is None or input.ndim < 3:
        return set()
    return {axis % input.ndim for axis in ([dim] if isinstance(dim, int) else dim)}


def variances(call: NormCall) -> Tensor:
    """The variance of each channel that a BatchNorm uses, without ε."""
    if call.training or call.running_var is None:
        return torch.var(call.input, [0, *range(2, call.input.ndim)], correction=0)
    return call.running_var.clone()
