"""Run a network with absolute weights on ones, as SynFlow requires, without overflow.

In a deep network, the flow grows beyond the range of floats. Therefore, each tensor has an
exponent, and represents its values times 2**exponent. Homogeneous operations pass the exponent on;
sums convert their terms to a common exponent; any other function is evaluated at the true value, or
at its limit if the true value exceeds the range of floats. Since the exponents are constants,
autograd gives the gradients of the true flow up to the factor 2**exponent.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._C._functorch import is_functorch_wrapped_tensor

from foretell.batch import tensors
from foretell.engine.by_tensor import ByTensor
from foretell.engine.failures import refuse_nested
from foretell.engine.graph import Given, inside, is_foreign, unmarked
from foretell.engine.observer import Observer, Then
from foretell.engine.observers.bends import bare
from foretell.engine.observers.written_norms import WrittenNorms
from foretell.engine.operations import (
    AVERAGES,
    BATCH_NORMS,
    CONTRACTIONS,
    DIVISIONS,
    INTERNAL,
    JOINS,
    POINTWISE,
    PRODUCTS,
    REARRANGEMENTS,
    SUMS,
    contracted,
    words,
)
from foretell.errors import Undefined

__all__ = ["LinearFlow", "exponent_of"]

LIMITS = {torch.float32: 32, torch.float64: 256}
"""Tensors are rescaled if their largest entry is outside 2**-limit … 2**limit."""


TRUE_LIMITS = {torch.float32: 80, torch.float64: 700}
"""Up to this exponent, the true value can be represented, even after the next operation."""


MULTIPLIES = PRODUCTS | words("mul_ __imul__ __rmatmul__ einsum")


ADDS = SUMS.keys() | words("maximum add_ sub_")


HOMOGENEOUS = (
    REARRANGEMENTS
    | AVERAGES
    | words(
        "relu relu_ leaky_relu prelu detach to type_as double float __get__ view_as unflatten "
        "expand_as repeat_interleave tile split_with_sizes tensor_split index_select "
        "unfold fold pad interpolate upsample pixel_shuffle pixel_unshuffle channel_shuffle "
        "max_pool1d max_pool2d max_pool3d _max_pool1d _max_pool2d _max_pool3d boolean_dispatch "
        "adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d"
    )
)


WITHOUT_RULE = INTERNAL - words("convolution _convolution _adaptive_avg_pool2d")


IDENTITY_AT_INFINITY = words(
    "gelu silu silu_ hardswish hardswish_ elu elu_ celu mish mish_ softplus"
)


BOUNDED = words(
    "sigmoid sigmoid_ tanh tanh_ hardsigmoid hardsigmoid_ relu6 hardtanh hardtanh_ clamp"
)


def exponent_of(tensor: Any) -> int:
    """The exponent of a tensor of the flow: its true value is the tensor times 2**exponent."""
    return getattr(tensor, "flow_exponent", 0)


class LinearFlow(Observer):
    """Within the block, operations pass exponents on, and functions in `bypass` return their input.

    With `even_attention`, every token attends equally to all tokens that its mask permits, so that
    attention is linear as well. Raises Undefined if an operation without a rule is applied to a
    tensor beyond the range of floats. `check` raises it for operations that were not observed.
    """

    def __init__(
        self, bypass: Iterable[Callable[..., Any]], *, even_attention: bool = False
    ) -> None:
        super().__init__()
        self.bypass = set(bypass)
        self.rules = EVEN_ATTENTION if even_attention else {}
        self._norms = WrittenNorms() if even_attention else None
        self._normed = ByTensor[Any]()
        """What a normalisation that is written out has returned."""
        self._softmax = ByTensor[Any]()
        """The exponentials, their sums, and logarithms of a softmax."""
        self._mark = object()
        self._grown = False
        self._blind = False

    def look(
        self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Then | None:
        given = Given(tensors([args, kwargs]))
        refuse_nested(*given.tensors.values())
        if name in WITHOUT_RULE:
            raise Undefined(f"the flow passes through `{name}`, which has no rule")
        if any(map(is_functorch_wrapped_tensor, given.tensors.values())):
            raise Undefined(
                "the flow passes through a function of torch.func, which cannot be observed"
            )
        return lambda out: mark_between(given, out, self._mark)

    def check(self, output: Tensor) -> None:
        """Raise Undefined if the output depends on operations that were not observed.

        A function with a custom derivative can be part of the flow, if neither exponents nor
        bypasses are involved: only then is it the derivative of what was run.
        """
        node = unmarked([output], self._mark)
        if node is not None and not is_foreign(node):
            raise Undefined(f"the flow passes through {node.name()}, which cannot be observed")
        if node is not None and (self._grown or self._blind):
            why = "exceeds the range of floats" if self._grown else "replaces operations"
            raise Undefined(f"{node.name()} has a custom derivative, and the flow {why}")

    def bypass_batch_norm(self, *_: object) -> None:
        """A hook to run before a module whose normalisation is bypassed."""
        self.bypass |= BATCH_NORMS.keys()

    def bypass_nothing(self, *_: object) -> None:
        """A hook to run after such a module."""
        self.bypass.clear()

    def run(self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if func in self.bypass or func in self.rules:
            self._blind |= not torch.is_grad_enabled()  # perhaps in a custom function
        if (x := self._without_norm(name, args)) is not None:
            self._blind |= not torch.is_grad_enabled()
            out = carry(x.clone(), exponent_of(x))
            self._normed[out] = True
            return out
        out = self._flow(func, name, args, kwargs)
        if self._norms is not None:
            self._norms.note(name, args, out)
            self._note_softmax(name, args, out)
        return out

    def _note_softmax(self, name: str, args: tuple[Any, ...], out: Any) -> None:
        """Raise Undefined for the softmax of an attention that is written out."""
        kinds = [self._softmax.get(arg, "") for arg in args[:2] if isinstance(arg, Tensor)]
        if (name in DIVISIONS and kinds == ["exp", "sum"]) or (name, kinds) == ("exp", ["log"]):
            raise Undefined(
                "the flow passes through a softmax that is written out; write it as torch.softmax"
            )
        kind = {"exp": "exp", "log_softmax": "log"}.get(name, "")
        if name == "sum" and kinds == ["exp"]:
            kind = "sum"
        if kind and isinstance(out, Tensor):
            self._softmax[out] = kind

    def _without_norm(self, name: str, args: tuple[Any, ...]) -> Any:
        """The input of a normalisation, if the operation is the last part of one so far."""
        if self._norms is None:
            return None
        x = self._norms.divided(name, args)
        if x is not None:
            return self._norms.whole(x)
        if len(args) == 2 and bare(name) in POINTWISE | SUMS.keys():
            for x, other in (args, args[::-1]):
                scale = isinstance(other, Tensor) and sum(size > 1 for size in other.shape) <= 1
                if isinstance(x, Tensor) and x in self._normed and scale and other.ndim:
                    return x
        return None

    def _flow(self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The result of an operation that is no part of a normalisation written out."""
        if func in self.bypass:  # a copy, since the next operation may work in place
            x = args[0] if args else kwargs["input"]
            return carry(x.clone(), exponent_of(x))
        if func in self.rules:
            with self:  # operations of the rule pass exponents on as well
                return self.rules[func](*args, **kwargs)
        exponents = {exponent_of(arg) for arg in tensors_of(args, kwargs)}
        if exponents <= {0} or name in ("size", "dim", "numel"):
            out = func(*args, **kwargs)
        else:
            self._grown = True
            out = scaled(func, name, args, kwargs)
        growing = func in CONTRACTIONS or name in MULTIPLIES
        return rescaled(out) if growing and isinstance(out, Tensor) else out


def mark_between(given: Given, out: Any, mark: object) -> None:
    """Mark the nodes that an operation has added to the graph as observed."""
    outs = [tensor for tensor in tensors(out) if tensor.grad_fn is not None]
    inside(outs, given, mark)


def even_softmax(input: Tensor, dim: int | None = None, *_: Any, **__: Any) -> Tensor:
    """Softmax of equal logits; logits of (nearly) minus infinity remain excluded."""
    with torch._C.DisableTorchFunction():
        shares = (input.detach() > torch.finfo(input.dtype).min / 2).to(input.dtype)
        total = shares.sum(-1 if dim is None else dim, keepdim=True)
        return shares / total.clamp_min(1)


def even_scaled_attention(
    query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any
) -> Tensor:
    """Scaled dot-product attention of equal scores."""
    zero_query, zero_key = torch.zeros_like(query), torch.zeros_like(key)
    exponent = exponent_of(value)
    with torch._C.DisableTorchFunction():
        mixed = F.scaled_dot_product_attention(zero_query, zero_key, value, *args, **kwargs)
    carried: Tensor = carry(mixed, exponent)
    return carried


def even_multi_head_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    *,
    key_padding_mask: Tensor | None = None,
    attn_mask: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """nn.MultiheadAttention with equal scores: the mean of the projected values, projected."""
    if bias_v is not None or key_padding_mask is not None or attn_mask is not None:
        raise Undefined("the flow has no rule for masks or bias_v in nn.MultiheadAttention")
    weight = v_proj_weight if in_proj_weight is None else in_proj_weight[-embed_dim_to_check:]
    bias = None if in_proj_bias is None else in_proj_bias[-embed_dim_to_check:]
    mixed = F.linear(value, weight, bias).mean(0, keepdim=True)  # type: ignore[arg-type]
    mixed = mixed.expand(len(query), *mixed.shape[1:])
    return F.linear(mixed, out_proj_weight, out_proj_bias), None


EVEN_ATTENTION: dict[Any, Callable[..., Any]] = {
    F.softmax: even_softmax,
    torch.softmax: even_softmax,
    Tensor.softmax: even_softmax,
    F.scaled_dot_product_attention: even_scaled_attention,
    F.multi_head_attention_forward: even_multi_head_attention,
    torch.rsqrt: torch.ones_like,  # 1/√(mean x²): a normalisation written out
    Tensor.rsqrt: torch.ones_like,
}


def scaled(func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Apply a function to tensors some of which have an exponent."""
    if func in CONTRACTIONS:
        x, weight, bias, rest, others = contracted(args, kwargs)
        power = exponent_of(weight)
        own = exponent_of(x) + power
        common = own if bias is None else max(own, exponent_of(bias))
        out = func(shift(x, common - power), weight, shift(bias, common), *rest, **others)
        return carry(out, common)
    if name in ADDS or name in JOINS:
        common = max(exponent_of(arg) for arg in tensors_of(args, kwargs))
        if name in JOINS:
            parts = type(args[0])(shift(part, common) for part in args[0])
            return carry(func(parts, *args[1:], **kwargs), common)
        if any(isinstance(arg, int | float) for arg in args):
            common = max(common, 0)  # a plain number has exponent 0
        unit = power_of_two(-common)
        if name in ("add_", "sub_"):  # in place: the tensor itself gets the new exponent
            args[0].mul_(power_of_two(exponent_of(args[0]) - common))
            carry(args[0], common)
        terms = (shift(t, common) if isinstance(t, Tensor) else t * unit for t in args)
        return carry(func(*terms, **kwargs), common)
    if name in DIVISIONS:
        over = exponent_of(args[0]) - exponent_of(args[1])
        return carry(func(*args, **kwargs), over)
    if name in MULTIPLIES:
        return carry(func(*args, **kwargs), sum(exponent_of(t) for t in tensors_of(args, kwargs)))
    exponent = exponent_of(args[0])
    if name in HOMOGENEOUS:
        return carry(func(*args, **kwargs), exponent)
    if all(exponent_of(t) <= TRUE_LIMITS.get(t.dtype, 0) for t in tensors_of(args, kwargs)):
        true_args, true_kwargs = at_true_scale(args), at_true_scale(kwargs)
        out = func(*true_args, **true_kwargs)
        return rescaled(out) if isinstance(out, Tensor) else out
    if name in IDENTITY_AT_INFINITY:
        return carry(args[0].clone(), exponent)
    if name in BOUNDED:  # zeros remain zeros for any exponent
        return func(args[0] * power_of_two(TRUE_LIMITS[args[0].dtype]), *args[1:], **kwargs)
    raise Undefined(f"the flow exceeds the range of floats, and `{name}` has no rule for this")


def at_true_scale(value: Any) -> Any:
    """The arguments with the exponents of all tensors multiplied out."""
    if isinstance(value, Tensor):
        return shift(value, 0)
    if isinstance(value, Mapping):
        return {key: at_true_scale(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(at_true_scale(item) for item in value)
    return value


def rescaled(out: Tensor) -> Tensor:
    """The same value with a largest entry near one, if it was far from that."""
    if not out.is_floating_point() or not out.numel():
        return out
    largest = float(out.detach().abs().amax())
    power = math.frexp(largest)[1] if 0 < largest < math.inf else 0
    if abs(power) <= LIMITS.get(out.dtype, 0):
        return out
    smaller: Tensor = carry(out * power_of_two(-power), exponent_of(out) + power)
    return smaller


def shift(tensor: Any, exponent: int) -> Any:
    """The tensor converted to another exponent; entries that underflow are zero."""
    difference = exponent_of(tensor) - exponent
    if not difference or tensor is None:
        return tensor
    return torch.mul(tensor, power_of_two(difference))


def power_of_two(exponent: int) -> float:
    """2**exponent; zero or infinity outside the range of floats."""
    try:
        return math.ldexp(1.0, exponent)
    except OverflowError:
        return math.inf


def carry(out: Any, exponent: int) -> Any:
    """Set the exponent of the result of an operation, or of each of its results."""
    if isinstance(out, Tensor):
        out.flow_exponent = exponent  # type: ignore[attr-defined]
    elif isinstance(out, tuple | list):
        for item in out:
            carry(item, exponent)
    return out


def tensors_of(args: Iterable[Any], kwargs: dict[str, Any]) -> list[Tensor]:
    """The tensors among the arguments of an operation, including those in lists."""
    found: list[Tensor] = []
    for arg in (*args, *kwargs.values()):
        if isinstance(arg, Tensor):
            found.append(arg)
        elif isinstance(arg, tuple | list):
            found.extend(item for item in arg if isinstance(item, Tensor))
    return found
