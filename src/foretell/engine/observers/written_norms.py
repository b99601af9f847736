"""Recognise normalisations that are written out, such as `(x - x.mean(-1)) / x.std(-1)`."""

from typing import Any

from torch import Tensor

from foretell.batch import tensors
from foretell.engine.by_tensor import ByTensor
from foretell.engine.observers.activations import CASTS
from foretell.engine.observers.bends import bare
from foretell.engine.operations import ARITHMETIC, DIVISIONS, POINTWISE, words

__all__ = ["WrittenNorms", "is_normal"]

MEANS = words("mean var var_mean nanmean")
DEVIATIONS = words("std std_mean")
ROOTS = words("sqrt rsqrt")
POWERS = words("pow __pow__ float_power")

KEEPING = (
    ARITHMETIC
    | CASTS
    | words(
        "clamp clamp_min clip maximum reciprocal view reshape unsqueeze squeeze expand expand_as "
        "__getitem__ detach clone contiguous flatten __get__"
    )
)
"""Operations after which a mean or the root of one remains that."""


class WrittenNorms:
    """Follows the means that a model computes, and their roots, which divide signals.

    >>> import torch
    >>> x = torch.tensor([[1.0, 3.0]])
    >>> norms = WrittenNorms()
    >>> mean = x.square().mean(-1, keepdim=True)
    >>> norms.note("mean", (x.square(), -1), mean)
    >>> root = mean.sqrt()
    >>> norms.note("sqrt", (mean,), root)
    >>> norms.divided("div", (x, root)) is x, norms.divided("div", (x, mean)) is None
    (True, True)
    """

    def __init__(self) -> None:
        self._means = ByTensor[bool]()
        self._roots = ByTensor[bool]()
        self._whole = ByTensor[Tensor]()
        """What a mean was subtracted from, for the differences."""

    def note(self, name: str, args: tuple[Any, ...], out: Any) -> None:
        """Record the result of an operation."""
        name, outs = bare(name), tensors(out)
        if name in DEVIATIONS | MEANS and args and isinstance(args[0], Tensor):
            kinds = [self._roots if name in DEVIATIONS else self._means, self._means]
            for kind, one in zip(kinds, outs, strict=False):
                kind[one] = True
            return
        if name not in KEEPING | ROOTS | POWERS:
            return
        given = [arg for arg in args if isinstance(arg, Tensor)]
        larger = max(given, key=Tensor.numel, default=None)
        for one in outs:
            if larger is None or one.numel() > max(t.numel() for t in given):
                continue
            if any(t in self._roots for t in given) and larger in self._roots:
                self._roots[one] = True
            elif larger in self._means:
                rooted = name in ROOTS or (name in POWERS and args[1] in (0.5, -0.5))
                (self._roots if rooted else self._means)[one] = True
            elif "sub" in name and len(given) == 2 and given[1] in self._means:
                self._whole[one] = given[0]

    def divided(self, name: str, args: tuple[Any, ...]) -> Tensor | None:
        """The tensor that an operation divides by the root of a mean, and so normalises."""
        if bare(name) not in POINTWISE | DIVISIONS or len(args) < 2:
            return None
        pair = [arg for arg in args[:2] if isinstance(arg, Tensor) and arg.ndim]
        if len(pair) != 2:
            return None
        for x, root in (pair, pair[::-1]):
            if root in self._roots and x not in self._roots and root.numel() < x.numel():
                return x
        return None

    def root(self, args: tuple[Any, ...]) -> Tensor:
        """The root that a signal is divided by."""
        return next(arg for arg in args[:2] if isinstance(arg, Tensor) and arg in self._roots)

    def whole(self, x: Tensor) -> Tensor:
        """What a mean was subtracted from to get this tensor, or the tensor itself."""
        found: Tensor = self._whole.get(x, x)
        return found


def is_normal(out: Tensor, root: Tensor) -> bool:
    """Whether the entries that were divided by one root have a mean square of about 1.

    An unbiased variance of two entries gives 1/2; vectors that are scaled to length 1 have less.
    """
    shape = (1,) * (out.ndim - root.ndim) + tuple(root.shape)
    axes = [axis for axis, size in enumerate(shape) if size == 1 and out.shape[axis] > 1]
    squares = out.detach().double().square()
    largest = float((squares.mean(axes) if axes else squares).max())
    return 0.5 <= largest < 1.2
