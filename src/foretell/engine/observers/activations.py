"""Activation functions, recognised by the operation that they run.

So functional activations and those that overwrite their input are seen as well as modules.
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
"""Activations with a kink or a gate; each may have a form in place, `relu_`."""


SQUASHES = words("sigmoid tanh")
"""No switch by themselves, but a gate once they multiply a tensor of their own shape."""


SMOOTH = SQUASHES | words("softmax log_softmax softsign erf sin cos exp")
"""What bends a signal without a kink; some of it is used for much else."""


CLAMPS = words("clamp clip clamp_min")
"""An activation if they cut off at zero."""


BENDS = SWITCHES | SQUASHES | {"softsign"}


def plain_name(name: str) -> str:
    """The name of an operation without the mark of its form in place.

    >>> plain_name("relu_"), plain_name("__imul__")
    ('relu', '__imul__')
    """
    return name if name.endswith("__") else name.removesuffix("_")


def activation_input(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
    """What goes into the activation function that an operation is; None if it is none.

    An activation function bends each number by itself: ReLU and its variants, GELU and the like,
    sigmoid and tanh whether they gate something or not, and a clamp at zero. Of a GLU it is the
    half that goes into the sigmoid. A softmax, which acts on several numbers together, is none; nor
    are `sin`, `exp` or `erf`, which are used for much else.

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
    """The half of a GLU's input that goes into its sigmoid."""
    dim = kwargs.get("dim", args[1] if len(args) > 1 else -1)
    gate: Tensor = args[0].chunk(2, dim)[1]
    return gate


def lower_bound(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The bound below which a clamp cuts off; None if it has none."""
    return kwargs.get("min", args[1] if len(args) > 1 else None)
