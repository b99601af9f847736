"""Recognise activation functions by the operation that they run.

Functional and in-place activations are recognised in the same way as modules.
"""

from typing import Any

from torch import Tensor

from foretell.engine.operations import words

__all__ = [
    *("CLAMPS", "SMOOTH", "SQUASHES", "SWITCHES", "activation_input", "glu_gate", "lower_bound"),
    "plain_name",
]

SWITCHES = words(
    "relu relu6 leaky_relu rrelu prelu _threshold hardtanh hardswish hardsigmoid hardshrink "
    "softshrink gelu silu mish elu celu selu softplus log_sigmoid logsigmoid"
)
"""Activations with a kink or a gate; each may have an in-place form, such as `relu_`."""


SQUASHES = words("sigmoid tanh")
"""Functions that are a gate if their result multiplies a tensor of the same shape."""


SMOOTH = SQUASHES | words("softmax log_softmax softsign erf sin cos exp")
"""Nonlinear functions without a kink, some of which have many other uses."""


CLAMPS = words("clamp clip clamp_min")
"""Functions that are an activation if their lower bound is zero."""


BENDS = SWITCHES | SQUASHES | {"softsign"}


def plain_name(name: str) -> str:
    """The name of an operation without the suffix of its in-place form.

    >>> plain_name("relu_"), plain_name("__imul__")
    ('relu', '__imul__')
    """
    return name if name.endswith("__") else name.removesuffix("_")


def activation_input(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
    """The input of an operation that is an activation function; None for any other operation.

    Activation functions are elementwise nonlinear functions: ReLU and its variants, GELU and
    similar functions, sigmoid and tanh (also as gates), and a clamp at zero. For a GLU, the result
    is the half of its input that passes through the sigmoid. A softmax does not count, since it is
    not elementwise, nor do `sin`, `exp` or `erf`, which have many other uses.

    >>> import torch
    >>> activation_input("clamp", (torch.ones(2), 0), {}), activation_input("exp", (), {})
    (tensor([1., 1.]), None)
    """
    if not args or not isinstance(args[0], Tensor):
        return None
    name, first = plain_name(name), args[0]
    if name == "glu":
        return glu_gate(args, kwargs)
    bent = name in BENDS or (name in CLAMPS and lower_bound(args, kwargs) == 0)
    return first if bent else None


def glu_gate(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """The half of a GLU's input that passes through its sigmoid."""
    dim = kwargs.get("dim", args[1] if len(args) > 1 else -1)
    gate: Tensor = args[0].chunk(2, dim)[1]
    return gate


def lower_bound(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The lower bound of a clamp; None if it has none."""
    return kwargs.get("min", args[1] if len(args) > 1 else None)
