"""Record the last features before they are pooled, and the variances that BatchNorm uses."""

from dataclasses import dataclass, field
from math import isclose, prod
from typing import Any

import torch
from torch import Tensor

from foretell.batch import tensors
from foretell.engine.by_tensor import ByTensor
from foretell.engine.observer import Observer, Then
from foretell.engine.observers.activations import plain_name
from foretell.engine.observers.samples import STRANGE, Lost, Samples
from foretell.engine.observers.written_norms import WrittenNorms
from foretell.engine.operations import (
    ARITHMETIC,
    BATCH_NORMS,
    DIVISIONS,
    INTERNAL,
    JOINS,
    MAPS_TO_ONE,
    MEANS,
    POINTWISE,
    POOLS,
    NormCall,
    words,
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
    depending: ByTensor[bool] = field(default_factory=ByTensor)
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
        self._norms = WrittenNorms()
        self._norm = ""
        """Why the variances are not known; empty if they are."""
        self._sums = ByTensor[Any]()
        """The tensor of which a sum is, its version, and the axes that are summed."""
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
        self.why = self.why or self._norm
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
        summed = summed_axes(name, args, kwargs)
        whole = self._mean_of(name, args)
        if self._norms.divided(name, args) is not None:
            self._normalised(args)

        def then(out: Any) -> None:
            self._norms.note(name, args, out)
            if summed and isinstance(out, Tensor):
                x = next(iter(given))
                self._sums[out] = x, x._version, summed
            if whole is not None:
                x, gone = whole
                self._averaged(x, x.clone(), gone, out)
            if shrinks(name, given, out) and self._by_constant(given):
                self.why = f"`{name}` with a constant may pool the last features"
            for pooling in depends:
                for tensor in tensors(out):
                    pooling.depending[tensor] = True
            if features is not None and axes:
                self._averaged(args[0], features, axes, out)
            elif features is not None and (func in MAPS_TO_ONE or set(out.shape[2:]) == {1}):
                spread = set(range(2, features.ndim))
                self._keep(Pooling(features, spread, out, list(range(out.ndim))))

        return then

    def _normalised(self, args: tuple[Any, ...]) -> None:
        """Note that maps are divided by the root of a mean over all samples."""
        found = self._samples.of(self._norms.root(args))
        if self._maps and found is Without.POOLED:
            self._norm = (
                "a normalisation over the batch is written out, whose variances are not seen; "
                "write it as torch.nn.functional.batch_norm"
            )

    def _mean_of(self, name: str, args: tuple[Any, ...]) -> tuple[Tensor, set[int]] | None:
        """The tensor and axes of a mean if the operation divides a sum by its number of terms."""
        if len(args) < 2 or not isinstance(args[0], Tensor) or args[0] not in self._sums:
            return None
        x, version, axes = self._sums[args[0]]
        count = prod(x.shape[axis] for axis in axes)
        share = 1 / count if plain_name(name) in POINTWISE else count
        divides = plain_name(name) in POINTWISE | DIVISIONS and isinstance(args[1], int | float)
        known = divides and isclose(args[1], share) and x._version == version
        return (x, axes) if known else None

    def _by_constant(self, given: list[Tensor]) -> bool:
        """Whether one of two factors depends on the samples, and the other is no weight."""
        common = [x for x in given if self._samples.of(x) is Without.COMMON]
        return len(common) == 1 and not common[0].requires_grad

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


def summed_axes(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> set[int]:
    """The axes of a sum of sequences, or of one that is written as an `einsum`; else empty.

    >>> summed_axes("sum", (torch.ones(2, 3, 4), 1), {})
    {1}
    >>> summed_axes("einsum", ("nchw->nc", torch.ones(2, 3, 4, 4)), {})
    {2, 3}
    """
    if name == "sum" and isinstance(args[0], Tensor) and args[0].ndim == 3:
        return averaged(*args, **kwargs)
    if name != "einsum" or len(args) != 2 or not isinstance(args[0], str):
        return set()
    before, _, after = args[0].replace(" ", "").partition("->")
    if not before.isalpha() or len(set(before)) < len(before):
        return set()
    return {axis for axis, letter in enumerate(before) if letter not in after}


def shrinks(name: str, given: list[Tensor], out: Any) -> bool:
    """Whether an operation is a product of two factors, one with maps or sequences, that sums."""
    if name not in CONTRACTING or len(given) != 2 or not isinstance(out, Tensor):
        return False
    larger = max(given, key=lambda x: x.ndim)
    return larger.ndim > 2 and out.numel() < larger.numel()


CONTRACTING = words("matmul __matmul__ bmm mv einsum tensordot")
"""Products that sum over an axis."""


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
