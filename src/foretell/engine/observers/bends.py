"""Find the activation functions of a forward pass, also those that are written out.

The result of elementwise operations on one tensor and on numbers is a function of this tensor. It
is evaluated at a few points along with the model. If it is an activation function, as `x * 0.5 * (1
+ torch.erf(x / 2**0.5))` is GELU, it counts as that, instead of the functions that it consists of.
"""

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._C._functorch import is_functorch_wrapped_tensor

from foretell.engine.by_tensor import ByTensor
from foretell.engine.observer import Observer, Then
from foretell.engine.observers.activations import (
    CASTS,
    CLAMPS,
    COMPARES,
    LARGER,
    MASKS,
    activation_input,
    plain_name,
)
from foretell.engine.observers.samples import ASKING, VIEWS, Samples
from foretell.engine.operations import ARITHMETIC, POINTWISE, in_place, words

__all__ = ["SHIFTS", "Bend", "Bends", "Taker", "bare"]

COMBINES = (
    ARITHMETIC
    | CLAMPS
    | LARGER
    | MASKS
    | words(
        "true_divide divide subtract minimum fmin min clamp_max __rdiv__ neg negative __neg__ "
        "__setitem__ abs absolute __abs__ log log1p sqrt reciprocal special_ndtr special_expit "
        "expit logaddexp addcmul addcdiv lerp"
    )
)
"""Operations that may be the last one of an activation function that is written out."""

ELEMENTWISE = (
    COMBINES
    | CASTS
    | COMPARES
    | words(
        "relu relu6 leaky_relu threshold _threshold hardtanh hardswish hardsigmoid hardshrink "
        "softshrink tanhshrink gelu silu mish elu celu selu softplus log_sigmoid logsigmoid "
        "sigmoid tanh softsign erf erfc special_erf special_erfc exp exp2 expm1 pow __pow__ "
        "__rpow__ rsqrt square sign sgn sin cos sinh cosh heaviside "
        "logical_not __invert__ "
        "zeros_like ones_like full_like clone contiguous"
    )
)
"""Elementwise operations that can be evaluated at other points."""

AFFINE = ARITHMETIC | CASTS | words("neg negative __neg__ clone contiguous subtract multiply")
"""Operations that are linear in a single tensor, up to a constant."""

KEPT = 6
"""The number of ancestors of a tensor that are followed."""

POINTS = torch.linspace(-7.9, 8.1, 48, dtype=torch.float64, device="cpu")

KNOWN = {
    function.__name__: function(POINTS)
    for function in (
        *(torch.relu, F.relu6, F.gelu, F.silu, F.mish, F.softplus, F.elu, F.selu, F.hardswish),
        *(F.hardsigmoid, F.hardtanh, F.logsigmoid, F.softsign, torch.sigmoid, torch.tanh),
    )
}
"""The values of activation functions at these points."""

NAMES, VALUES = [*KNOWN, "gelu"], torch.stack([*KNOWN.values(), F.gelu(POINTS, approximate="tanh")])


@dataclass(eq=False)
class Curve:
    """A tensor as a function of another one: its values at `POINTS`, and that one's version."""

    of: Callable[[], Tensor | None]
    """A weak reference."""
    version: int
    values: Tensor

    @property
    def tensor(self) -> Tensor | None:
        """The other tensor; None if it is gone or was overwritten."""
        found = self.of()
        return found if found is not None and found._version == self.version else None


@dataclass(eq=False)
class Part:
    """An activation by which a tensor is computed."""

    curves: tuple[Curve, ...] = ()
    passed_on: bool = False

    def is_the_same(self, curve: Curve) -> bool:
        """Whether its output is the same function of the same tensor."""
        tensor = curve.tensor
        return any(
            one.tensor is tensor and torch.allclose(one.values, curve.values) for one in self.curves
        )


@dataclass(eq=False)
class Written:
    """A tensor as a function of each tensor that it is computed from, the nearest first."""

    curves: tuple[Curve, ...]
    parts: tuple[Part, ...] = ()
    curved: bool = False
    """Whether the functions may be other than linear."""

    def by(self, tensor: Tensor) -> Tensor | None:
        """Its values as a function of another tensor."""
        return next((curve.values for curve in self.curves if curve.tensor is tensor), None)

    def shares(self, other: "Written") -> bool:
        """Whether both are functions of some tensor."""
        mine = {id(tensor) for curve in self.curves if (tensor := curve.tensor) is not None}
        return any(id(curve.tensor) in mine for curve in other.curves)


@dataclass(eq=False)
class Bend:
    """An activation function that has run."""

    name: str
    x: Tensor
    """Its input; of a GLU, the half that passes through the sigmoid."""
    whole: Tensor
    """The tensor of which the input may be a part."""
    overwritten: bool = False
    """Whether the output overwrites the input."""
    out: Tensor | None = None
    graded: bool = field(default_factory=torch.is_grad_enabled)
    """Whether it ran with gradients."""
    carriers: list[Tensor] = field(default_factory=list)
    """The output, and what is a multiple of it or the output plus a number."""
    gates: bool = False
    """Whether one of these multiplied a tensor of the same shape before it was passed on."""
    part: Part = field(default_factory=Part)
    written: Written | None = None

    @property
    def at_once(self) -> bool:
        """Whether it cannot wait: the input is overwritten, or exists within a function only."""
        return self.overwritten or is_functorch_wrapped_tensor(self.x)


class Taker:
    """Base class of what takes in the activation functions of a forward pass."""

    _why = ""
    """Why what is recorded is not complete; empty if it is."""

    def enters(self, bend: Bend) -> None:
        """Take in the input of an activation, before it is overwritten."""

    def leaves(self, bend: Bend) -> None:
        """Take in its output."""

    def miss(self, why: str) -> None:
        """Take in why it is not known which functions are activations."""
        self._why = self._why or why


class Bends(Observer):
    """Within the block, pass the activation functions that run on to `takers`.

    It must be entered after `samples` and all takers. An activation is passed on when the next
    operation is no further part of it.
    """

    def __init__(self, samples: Samples, takers: Sequence[Taker]) -> None:
        super().__init__()
        self._samples, self._takers = samples, takers
        self._written = ByTensor[Any]()
        self._waiting: list[Bend] = []

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)
        if raised[0] is None:
            with torch._C.DisableTorchFunction():
                self._pass_on()
        self._waiting.clear()
        self._written.clear()

    def look(
        self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Then | None:
        if name in ASKING or (name == "__get__" and func.__self__.__name__ not in VIEWS):
            return None
        plain, overwrites = bare(name), in_place(name, args, kwargs)
        written = self._after(func, plain, args, kwargs) if plain in ELEMENTWISE else None
        bend = self._called(plain, args, kwargs, overwrites=overwrites)
        if bend is None and written is not None and written.curved and plain in COMBINES:
            bend = self._recognised(written, args, overwrites=overwrites)
        if self._waiting and (written is None or overwrites or not self._goes_on(written)):
            self._pass_on()
        if bend is not None and bend.at_once:
            self._enter(bend)
        if plain in POINTWISE and self._waiting:
            self._note_gates(args)
        if bend is None and written is None:
            return None

        def then(out: Any) -> None:
            target = args[0] if name == "__setitem__" else out
            if isinstance(target, Tensor):
                if plain in SHIFTS and self._waiting:
                    self._carry(args, target)
                self._took_place(bend, written, target)

        return then

    def _took_place(self, bend: Bend | None, written: Written | None, out: Tensor) -> None:
        """Record the result of an operation."""
        if bend is not None:
            bend.out, bend.written = out, written
            bend.carriers.append(out)
        if written is not None and (out.is_floating_point() or out.dtype == torch.bool):
            curves = tuple(curve for curve in written.curves if curve.of() is not out)
            parts = written.parts
            if bend is not None:
                bend.part.curves = curves
                parts = (*parts, bend.part)
            self._written[out] = Written(curves, parts, written.curved)
        elif out in self._written:
            del self._written[out]
        if bend is None:
            return
        if bend.at_once:
            self._leave(bend)
        else:
            self._waiting.append(bend)

    def _called(
        self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], *, overwrites: bool
    ) -> Bend | None:
        """The activation that an operation is by itself, if it is one."""
        x = activation_input(name, args, kwargs)
        if x is None:
            return None
        if name == "glu":
            self._samples.cut(x, args[0])
        return Bend(name, x, args[0] if name == "glu" else x, overwritten=overwrites)

    def _recognised(
        self, written: Written, args: tuple[Any, ...], *, overwrites: bool
    ) -> Bend | None:
        """The activation function that is written out now; those it consists of do not count."""
        for curve in written.curves:
            x, known = curve.tensor, known_as(curve.values)
            if x is None or not known:
                continue
            if any(part.is_the_same(curve) for part in written.parts):
                return None
            if any(part.passed_on for part in written.parts):
                self._miss(known)
                return None
            self._waiting = [bend for bend in self._waiting if bend.part not in written.parts]
            return Bend(known, x, x, overwritten=overwrites and args[0] is x)
        return None

    def _miss(self, known: str) -> None:
        for taker in self._takers:
            taker.miss(
                f"{known} is written out by operations of which others are in between or in place, "
                f"so it is not followed; write it as torch.nn.functional.{known}"
            )

    def _after(
        self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Written | None:
        """The result of an operation as a function of what all of its tensors are computed from."""
        given = [arg for arg in (*args, *kwargs.values()) if isinstance(arg, Tensor)]
        signals = {id(t): t for t in given if not is_number(t) or t in self._written}
        if not signals or not all(map(can_be_followed, signals.values())):
            return None
        each = {one: self._with_itself(tensor) for one, tensor in signals.items()}
        first, *others = each.values()
        curves = []
        for curve in first.curves:
            x = curve.tensor
            values = [] if x is None else [curve.values, *(other.by(x) for other in others)]
            known = [one for one in values if one is not None]
            if len(known) == len(each):
                places = dict(zip(each, known, strict=True))
                found = evaluated(func, name, args, kwargs, places)
                if found is not None:
                    curves.append(Curve(curve.of, curve.version, found))
        parts = tuple(dict.fromkeys(part for one in each.values() for part in one.parts))
        curved = name not in AFFINE or len(each) > 1 or any(one.curved for one in each.values())
        return Written(tuple(curves[:KEPT]), parts, curved) if curves else None

    def _with_itself(self, tensor: Tensor) -> Written:
        """A tensor as a function of itself and of what it is computed from."""
        before: Written | None = self._written.get(tensor)
        itself = Curve(weakref.ref(tensor), tensor._version, POINTS)
        if before is None:
            return Written((itself,))
        return Written((itself, *before.curves), before.parts, before.curved)

    def _goes_on(self, written: Written) -> bool:
        """Whether an operation may be a further part of the activation that is waiting."""
        waiting = self._waiting[0].written
        return waiting is not None and written.shares(waiting)

    def _note_gates(self, args: tuple[Any, ...]) -> None:
        """Record that what is waiting multiplies another tensor."""
        given = [arg for arg in args if isinstance(arg, Tensor) and arg.ndim]
        if len(given) != 2 or given[0].shape != given[1].shape:
            return
        for bend in self._waiting:
            bend.gates |= any(one is other for one in bend.carriers for other in given)

    def _carry(self, args: tuple[Any, ...], out: Tensor) -> None:
        """Record that an output was multiplied by a number, or that one was added to it."""
        given = [arg for arg in args if isinstance(arg, Tensor) and arg.ndim]
        for bend in self._waiting:
            if len(given) == 1 and any(one is given[0] for one in bend.carriers):
                bend.carriers.append(out)

    def _pass_on(self) -> None:
        """Pass on all activations that are waiting."""
        waiting, self._waiting = self._waiting, []
        for bend in waiting:
            self._enter(bend)
            self._leave(bend)

    def _enter(self, bend: Bend) -> None:
        bend.part.passed_on = True
        for taker in self._takers:
            taker.enters(bend)

    def _leave(self, bend: Bend) -> None:
        for taker in self._takers:
            taker.leaves(bend)


SHIFTS = ARITHMETIC | words("to type_as contiguous")
"""Operations that preserve a gate if their other operand is a number."""


def bare(name: str) -> str:
    """The name of an operation without the suffix or prefix of its form in place.

    >>> bare("mul_"), bare("__imul__"), bare("__setitem__")
    ('mul', '__mul__', '__setitem__')
    """
    if name.startswith("__i") and name not in ("__invert__", "__int__", "__index__"):
        return f"__{name[3:]}"
    return plain_name(name)


def is_number(tensor: Tensor) -> bool:
    """Whether a tensor is a constant number."""
    return tensor.numel() == 1 and not tensor.requires_grad and tensor.device.type != "meta"


def can_be_followed(tensor: Tensor) -> bool:
    """Whether the tensor can be what others are functions of."""
    floating = tensor.is_floating_point() or tensor.dtype == torch.bool
    wrapped = is_functorch_wrapped_tensor(tensor) or isinstance(tensor, nn.Parameter)
    return floating and not wrapped and tensor.layout == torch.strided


def evaluated(
    func: Any,
    name: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    places: dict[int, Tensor],
) -> Tensor | None:
    """The values of an operation, given those of its tensors; None if it is not elementwise."""
    if name in CASTS:
        return next(iter(places.values())).double()

    def other(arg: Any) -> Any:
        if not isinstance(arg, Tensor):
            return arg
        return places[id(arg)].clone() if id(arg) in places else arg.detach().cpu()

    given = {key: other(arg) for key, arg in kwargs.items()}
    try:
        with torch.no_grad():
            before = tuple(map(other, args))
            out = func(*before, **given)
    except (RuntimeError, TypeError, IndexError):
        return None
    out = before[0] if name == "__setitem__" else out
    if not isinstance(out, Tensor) or out.shape != POINTS.shape:
        return None
    return out if out.dtype == torch.bool else out.double()


def known_as(values: Tensor) -> str:
    """The name of the activation function with these values; empty if there is none.

    A leaky ReLU may have any slope, and a SiLU any factor in its sigmoid.

    >>> known_as(POINTS * torch.erfc(-POINTS / 2**0.5) / 2), known_as(POINTS.abs())
    ('gelu', '')
    >>> known_as(torch.where(POINTS > 0, POINTS, POINTS / 5)), known_as(POINTS / 5)
    ('leaky_relu', '')
    """
    if values.dtype == torch.bool:
        return ""
    near = (VALUES - values).abs().amax(1) < 1e-5
    if near.any():
        return NAMES[int(near.nonzero()[0, 0])]
    slopes = values / POINTS
    above, below = slopes[POINTS > 0], slopes[POINTS < 0]
    if (above - 1).abs().max() < 1e-5 and (below - below[0]).abs().max() < 1e-5:
        return "leaky_relu" if 1e-5 < (below[0] - 1).abs() < 2 - 1e-5 else ""
    factors = slopes.logit() / POINTS
    even = (factors - factors[0]).abs().max() < 1e-4 * factors[0].abs()
    return "silu" if even and factors[0] > 0 else ""
