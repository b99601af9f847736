"""Recognise activation functions by the operation that they run.

Functional and in-place activations are recognised in the same way as modules.
"""

from typing import Any

from torch import Tensor
from torch._C._functorch import is_functorch_wrapped_tensor

from foretell.engine.operations import POINTWISE, words

__all__ = [
    *("CASTS", "CLAMPS", "COMPARES", "LARGER", "MASKS", "SMOOTH", "SQUASHES", "SWITCHES"),
    *("activation_input", "glu_gate", "lower_bound", "note_comparison", "plain_name", "switched"),
]

SWITCHES = words(
    "relu relu6 leaky_relu rrelu prelu _threshold threshold hardtanh hardswish hardsigmoid "
    "hardshrink softshrink gelu silu mish elu celu selu softplus log_sigmoid logsigmoid"
)
"""Activations with a kink or a gate; each may have an in-place form, such as `relu_`."""


SQUASHES = words("sigmoid tanh")
"""Functions that are a gate if their result multiplies a tensor of the same shape."""


SMOOTH = SQUASHES | words("softmax log_softmax softsign erf sin cos exp")
"""Nonlinear functions without a kink, some of which have many other uses."""


CLAMPS = words("clamp clip clamp_min")
"""Functions that are an activation if their lower bound is zero."""


LARGER = words("maximum fmax max")
"""An activation if one of two tensors is zero."""


COMPARES = words("gt ge lt le __gt__ __ge__ __lt__ __le__")
CASTS = words("to float double half bfloat16 type type_as")
MASKS = words("where masked_fill") | POINTWISE
"""An activation if what is masked is masked by a comparison of it with zero, as `x * (x > 0)`."""


SQUASHED = SQUASHES | {"softsign"}


def plain_name(name: str) -> str:
    """The name of an operation without the suffix of its in-place form.

    >>> plain_name("relu_"), plain_name("__imul__")
    ('relu', '__imul__')
    """
    return name if name.endswith("__") else name.removesuffix("_")


def activation_input(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
    """The input of an operation that is an activation function; None for any other operation.

    Activation functions are elementwise nonlinear functions: ReLU and its variants, GELU and
    similar functions, sigmoid and tanh (also as gates), a clamp at zero, the maximum of a tensor
    and zero, and a tensor masked by a comparison of itself with zero. For a GLU, the result is the
    half of its input that passes through the sigmoid. A softmax does not count, since it is not
    elementwise, nor do `sin`, `exp` or `erf`, which have many other uses.

    >>> import torch
    >>> activation_input("clamp", (torch.ones(2), 0), {}), activation_input("exp", (), {})
    (tensor([1., 1.]), None)
    """
    if not args or not isinstance(args[0], Tensor):
        return None
    name = plain_name(name)
    if name == "glu":
        return glu_gate(args, kwargs)
    return args[0] if name in SQUASHED else switched(name, args, kwargs)


def switched(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
    """The tensor whose sign an operation, named without the mark of its form in place, depends on.

    >>> import torch
    >>> x = torch.tensor([1.0, -1.0])
    >>> mask = x > 0
    >>> note_comparison("__gt__", (x, 0), mask)
    >>> switched("__mul__", (x, mask), {}) is x, switched("__mul__", (x, 2), {}) is None
    (True, True)
    """
    if name in SWITCHES or (name in CLAMPS and is_zero(lower_bound(args, kwargs))):
        found: Tensor = args[0]
        return found
    both = [arg for arg in (*args, *kwargs.values()) if isinstance(arg, Tensor)]
    if name in LARGER and len(both) == 2:
        return next((one for one, other in (both, both[::-1]) if is_zero(other)), None)
    if name not in MASKS:
        return None
    compared = [one.compared_with_zero for one in both if hasattr(one, "compared_with_zero")]
    return next((one for one in both if any(one is other for other in compared)), None)


def note_comparison(name: str, args: tuple[Any, ...], out: Any) -> None:
    """Note at a tensor that it says where another one is above or below zero."""
    if not isinstance(out, Tensor) or not args or not isinstance(args[0], Tensor):
        return
    if name in COMPARES and len(args) > 1 and is_zero(args[1]):
        out.compared_with_zero = args[0]  # type: ignore[attr-defined]
    elif name in CASTS and hasattr(args[0], "compared_with_zero"):
        out.compared_with_zero = args[0].compared_with_zero  # type: ignore[attr-defined]


def is_zero(value: Any) -> bool:
    """Whether this is the number zero, or a constant tensor of zeros."""
    if not isinstance(value, Tensor):
        return isinstance(value, int | float) and value == 0
    return not (is_functorch_wrapped_tensor(value) or value.requires_grad or value.any())


def glu_gate(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """The half of a GLU's input that passes through its sigmoid."""
    dim = kwargs.get("dim", args[1] if len(args) > 1 else -1)
    gate: Tensor = args[0].chunk(2, dim)[1]
    return gate


def lower_bound(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The lower bound of a clamp; None if it has none."""
    return kwargs.get("min", args[1] if len(args) > 1 else None)
