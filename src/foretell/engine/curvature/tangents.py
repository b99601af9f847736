"""Curvature without a double backward: how everything changes as all weights grow together.

A second forward computation carries, beside each tensor, its tangent along the weights
themselves: d/dt at t = 1 of the tensor with all weights w scaled to t·w. The tangent of the loss is
wᵀg, and its gradient g + Hw (`curvature.py`).

Along the weights a tangent is cheap: for y = W∗x + b it is W∗ẋ + (y − b), one convolution more, and
a batch normalisation of y has no use for the second part. Where an operation has no rule here, two
gradients of that operation alone take its place.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.autograd.graph import get_gradient_edge
from torch.utils.weak import WeakTensorKeyDictionary

from foretell.engine.curvature.gradient import Curvature
from foretell.engine.curvature.normed import Normed, statistics_of
from foretell.engine.faster.pools import avg_pool2d
from foretell.engine.observer import Observer, Then
from foretell.engine.operations import NormCall, in_place
from foretell.engine.passes.linear_flow import contracted

__all__ = ["Tangents"]


class Pushed:
    """The tangent u + (y − b) of a contraction y = W∗x + b, whose sum is not formed before it must.

    `u` is W∗ẋ, None for zero, in memory of its own; `bias` has the axes that let it be subtracted
    from y. `readers` are the normalisations that take u without the sum.
    """

    def __init__(self, u: Tensor | None, bias: Tensor | None) -> None:
        self.u, self.bias = u, bias
        self.formed: Tensor | None = None
        self.readers = 0

    def form(self, y: Tensor, curvature: Curvature) -> Tensor:
        """The sum, which depends on y; its value is a number like any tangent's."""
        if self.formed is None:
            edge = get_gradient_edge(y)
            curvature.when_known(y, lambda grad: curvature.let_in(edge, grad))
            own = y.detach() if self.bias is None else y.detach() - self.bias
            self.formed = own.clone() if self.u is None else own + self.u
        return self.formed


class Tangents(Observer):
    """Within the block every operation also computes the tangent of what it returns.

    `failed` says why tangents could not be carried to the end, if they could not; the operations
    themselves are run as ever, whether or not there are tangents.
    """

    def __init__(self, weights: dict[str, Tensor]) -> None:
        super().__init__()
        self.failed = ""
        self.curvature = Curvature()
        self._tangents = WeakTensorKeyDictionary()
        for weight in weights.values():
            self._tangents[weight] = weight  # d(t·w)/dt = w

    def of(self, value: Any) -> Tensor | None:
        """The tangent of a tensor; None stands for zero."""
        tangent = self._kept(value)
        return tangent.form(value, self.curvature) if isinstance(tangent, Pushed) else tangent

    def _kept(self, value: Any) -> Tensor | Pushed | None:
        """The tangent, its sum perhaps not yet formed."""
        kept: Tensor | Pushed | None = None
        if isinstance(value, Tensor):
            kept = self._tangents.get(value)  # type: ignore[no-untyped-call]
        return kept

    def forget(self) -> None:
        """Forget all tangents; what is still needed of them is kept by those that need it."""
        self._tangents.clear()

    def let_go(self) -> None:
        """Forget everything, and no longer listen to backward passes."""
        self.forget()
        self.curvature.let_go()

    def look(
        self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Then | None:
        if self.failed:
            return None
        given = [value for value in flat(args, kwargs) if isinstance(value, Tensor)]
        self._check_seen(given)
        if self.failed:
            return None
        moving = any(self._kept(value) is not None for value in given)
        if moving and in_place(name, args, kwargs):
            return self._overwriting(func, name, args, kwargs)
        if not moving or not torch.is_grad_enabled():  # without gradients, it is a constant
            return lambda out: self._attach(out, lambda: None)
        before = {} if draws_nothing(func, name) else random_state(given)

        def then(out: Any) -> None:
            with same_randomness(before):
                self._attach(out, lambda: self._tangent(func, name, args, kwargs, out))

        return then

    def _check_seen(self, given: list[Tensor]) -> None:
        """Fail if an operation that was not seen here made one of these tensors."""
        for tensor in given:
            if tensor.grad_fn is not None and tensor not in self._tangents:
                self.failed = f"{tensor.grad_fn.name()} works out of sight"

    def _overwriting(
        self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Then | None:
        """An operation that overwrites its first argument; the tangent is that of a copy of it."""
        target = args[0]
        self._forget_aliases(target)
        if name == "__setitem__" or kwargs.get("out") is not None:
            self.failed = f"`{name}` writes into a tensor"
            return None
        if name in NEEDS_NO_COPY and not kwargs.get("alpha"):
            tangents = (self.of(target), *(self.of(arg) for arg in args[1:]))
            return lambda out: self._attach(out, lambda: NEEDS_NO_COPY[name](tangents, out))
        copy = target.clone()
        self._tangents[copy] = self.of(target)
        before = random_state([target])
        rest = (copy, *args[1:])
        apart, its_name, its_kwargs = out_of_place(func, name, kwargs)

        def then(out: Any) -> None:
            with same_randomness(before):
                self._attach(
                    out, lambda: self._tangent(apart, its_name, rest, its_kwargs, out.clone())
                )

        return then

    def _forget_aliases(self, target: Tensor) -> None:
        """Tensors that share memory with one that is overwritten change too; they become unseen."""
        memory = target.untyped_storage().data_ptr()
        for tensor in list(self._tangents):
            if tensor is not target and tensor.untyped_storage().data_ptr() == memory:
                del self._tangents[tensor]
        for tensor in self.curvature.fragile:
            if tensor.untyped_storage().data_ptr() == memory:
                self.failed = "a view is overwritten"

    def _attach(self, out: Any, compute: Callable[[], Any]) -> None:
        if not floating(out):
            return
        try:
            tangent = compute()
        except (NotImplementedError, RuntimeError) as error:
            self.failed = str(error).partition("\n")[0]
            return
        several = isinstance(out, tuple | list)
        tensors = out if several else [out]
        tangents = tangent if several and tangent is not None else [tangent] * len(tensors)
        for tensor, its_tangent in zip(tensors, tangents, strict=True):
            if isinstance(tensor, Tensor):
                if isinstance(its_tangent, Tensor):
                    its_tangent = self.curvature.cut(tensor, its_tangent)
                self._tangents[tensor] = its_tangent

    def _tangent(self, func: Any, name: str, args: tuple[Any, ...], kwargs: Any, out: Any) -> Any:
        """The tangent of `out`, which `func` returned."""
        if func in CONTRACTIONS:
            return self._contraction(func, args, kwargs, out)
        if not args:
            return self._by_two_gradients(func, args, kwargs)
        others = [value for value in flat(args[1:], kwargs) if self._kept(value) is not None]
        if func in BATCH_NORMS and not others:
            return self._batch_norm(out, BATCH_NORMS[func](*args, **kwargs))
        x = self.of(args[0])
        if func in NORMS and not others:
            return NORMS[func](x, *args, **kwargs)
        if name == "embedding":
            return func(args[0], self.of(args[1]), *args[2:], **kwargs)
        if func is F.normalize and x is not None and not others and norm_of(args, kwargs) == 2:
            return normalize(x, *args, **kwargs)
        if func in DROPOUTS and x is not None:
            return func(x, *args[1:], **kwargs)
        if name in SLOPES and x is not None:
            return x * SLOPES[name](args[0])
        if name == "relu" and x is not None:
            return relu((x,), out)
        if func is F.avg_pool2d and x is not None:
            return avg_pool2d(x, *args[1:], **kwargs)
        if name in LINEAR and not others and x is not None:
            return func(x, *args[1:], **kwargs)
        if name in SUMS and not kwargs and len(args) == 2:
            first, second = self.of(args[0]), self.of(args[1])
            return total([first, None if second is None else SUMS[name] * second], out)
        if name in PRODUCTS and not kwargs and len(args) == 2:
            terms = [
                None if (ta := self.of(args[0])) is None else func(ta, args[1]),
                None if (tb := self.of(args[1])) is None else func(args[0], tb),
            ]
            return total(terms, out)
        return self._by_two_gradients(func, args, kwargs)

    def _contraction(self, func: Any, args: tuple[Any, ...], kwargs: Any, out: Tensor) -> Any:
        """W∗ẋ + Ẇ∗x, where Ẇ∗x is y − b if Ẇ is W."""
        x, weight, bias, rest, others = contracted(args, kwargs)
        tx, tw = self.of(x), self.of(weight)
        whole = tw is weight and (bias is None or self.of(bias) is None)
        if not whole or (bias is not None and func in TRANSPOSED):
            return self._by_two_gradients(func, args, kwargs)
        if bias is not None and func is not F.linear:
            bias = bias.view(-1, *[1] * (weight.ndim - 2))
        u = None
        if tx is not None:
            u = self.curvature.push(tx, weight, out, lambda w: func(tx, w, None, *rest, **others))
        pushed = Pushed(u, None if bias is None else bias.detach())
        one_a_channel = bias is None or func is not F.linear or out.ndim == 2
        return pushed if one_a_channel else pushed.form(out, self.curvature)

    def _batch_norm(self, out: Tensor, call: NormCall) -> Tensor | None:
        """The tangent of a batch normalisation, of its own or of given statistics."""
        x, weight, eps = call.input, call.weight, call.eps
        if not call.training and call.running_var is not None:
            given = self.of(x)
            return None if given is None else frozen(given, x, call.running_var, weight, eps)
        kept = self._kept(x)
        own = isinstance(kept, Pushed)
        if isinstance(kept, Pushed):
            kept.readers += 1
        u = kept.u if isinstance(kept, Pushed) else kept
        gamma = None if weight is None else weight.detach()
        normed = Normed(x.detach(), gamma, eps, statistics_of(out, x))
        edge = get_gradient_edge(x)

        def use(grad: Tensor, *means: Tensor) -> None:
            known = (means[0], means[1]) if means else None
            formed = kept.formed if isinstance(kept, Pushed) else None
            if formed is not None:  # something else has used the sum, which lets all of λ in
                found = normed.gradient(grad, formed, means=known)
            else:
                alone = isinstance(kept, Pushed) and kept.readers == 1
                found = normed.gradient(grad, u, own, known, over_u=alone)
            self.curvature.let_in(edge, found)

        self.curvature.when_normed(out, use)
        return normed.tangent(u, own)

    def _by_two_gradients(self, func: Any, args: tuple[Any, ...], kwargs: Any) -> Any:
        """Jẋ for an operation without a rule: the gradient by u of (uᵀJ)ẋ, which is linear in u."""
        aliases: list[Tensor] = []
        tangents: list[Tensor] = []

        def alias(value: Any) -> Any:
            """A stand-in for each moving argument, so that none is reached through another."""
            if isinstance(value, dict):
                return {key: alias(item) for key, item in value.items()}
            if isinstance(value, tuple | list):
                return type(value)(alias(item) for item in value)
            tangent = self.of(value)
            if tangent is None:
                return value
            aliases.append(value.view_as(value))
            tangents.append(tangent)
            return aliases[-1]

        result = func(*alias(args), **alias(kwargs))
        several = isinstance(result, tuple | list)
        outs = [out for out in (result if several else [result]) if differentiable(out)]
        if not outs:
            return [None] * len(result) if several else None
        directions = [torch.zeros_like(out, requires_grad=True) for out in outs]
        rows = torch.autograd.grad(
            outs, aliases, directions, create_graph=True, materialize_grads=True
        )
        slope = torch.stack([(r * t).sum() for r, t in zip(rows, tangents, strict=True)]).sum()
        found = iter(
            torch.autograd.grad(slope, directions, create_graph=True, materialize_grads=True)
        )
        if several:
            return [next(found) if differentiable(out) else None for out in result]
        return next(found, None)


def differentiable(out: Any) -> bool:
    """Whether a gradient can be asked of it."""
    return isinstance(out, Tensor) and out.requires_grad


def draws_nothing(func: Any, name: str) -> bool:
    """Whether an operation is known to use no random numbers; to find out takes long beside it."""
    return func in CONTRACTIONS or func in BATCH_NORMS or name in QUIET


def random_state(given: Sequence[Tensor]) -> dict[torch.device, Tensor]:
    """Where the generators stand that an operation on these tensors might draw from."""
    states = {torch.device("cpu"): torch.get_rng_state()}
    for device in {tensor.device for tensor in given if tensor.is_cuda}:
        states[device] = torch.cuda.get_rng_state(device)
    return states


@contextmanager
def same_randomness(before: dict[torch.device, Tensor]) -> Iterator[None]:
    """Draw within the block what the operation drew; afterwards they are as it left them."""
    after = random_state([]) if before else {}
    drew = any(not torch.equal(before[device], state) for device, state in after.items())
    drew = drew or len(before) > 1
    with torch.random.fork_rng([d for d in before if d.type == "cuda"], enabled=drew):
        if drew:
            for device, state in before.items():
                torch.set_rng_state(state) if device.type == "cpu" else torch.cuda.set_rng_state(
                    state, device
                )
        yield


def relu(tangents: Sequence[Tensor | None], out: Tensor) -> Tensor | None:
    """The tangent where the result is positive."""
    if tangents[0] is None:
        return None
    masked: Tensor = torch.ops.aten.threshold_backward(tangents[0], out, 0)
    return masked


def total(terms: Sequence[Tensor | None], out: Tensor) -> Tensor | None:
    """The sum of the tangents that are not zero, of the result's shape."""
    there = [term for term in terms if term is not None]
    if not there:
        return None
    summed = there[0] if len(there) == 1 else there[0] + there[1]
    return summed if summed.shape == out.shape else summed.expand_as(out)


def out_of_place(func: Any, name: str, kwargs: dict[str, Any]) -> tuple[Any, str, dict[str, Any]]:
    """The operation that returns what this one writes over its argument."""
    if kwargs.get("inplace"):
        return func, name, {**kwargs, "inplace": False}
    plain = f"__{name[3:]}" if name.startswith("__i") else name.removesuffix("_")
    return getattr(Tensor, plain, None) or getattr(F, plain), plain, kwargs


def frozen(
    tangent: Tensor, x: Tensor, running_var: Tensor, weight: Tensor | None, eps: float
) -> Tensor:
    """The tangent of a normalisation by given statistics."""
    scale = (running_var + eps).rsqrt() * (1 if weight is None else weight)
    return tangent * scale.view(-1, *[1] * (x.ndim - 2))


def torch_batch_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
    *_: Any,
) -> NormCall:
    """The call of F.batch_norm that torch.batch_norm of these arguments is."""
    return NormCall(input, running_mean, running_var, weight, bias, training, momentum, eps)


def layer_norm(
    tangent: Tensor,
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *_: Any,
) -> Tensor:
    """The tangent of a layer normalisation."""
    out = by_rows(tangent, input, math.prod(normalized_shape), eps)
    return out if weight is None else out * weight


def group_norm(
    tangent: Tensor,
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *_: Any,
) -> Tensor:
    """The tangent of a group normalisation."""
    out = by_rows(tangent, input, input[0].numel() // num_groups, eps)
    return out if weight is None else out * weight.view(-1, *[1] * (input.ndim - 2))


def instance_norm(
    tangent: Tensor,
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """The tangent of an instance normalisation."""
    if use_input_stats or running_var is None:
        return group_norm(tangent, input, input.shape[1], weight, None, eps)
    return frozen(tangent, input, running_var, weight, eps)


def rms_norm(
    tangent: Tensor,
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """The tangent of a normalisation by the root of the mean square."""
    axes = tuple(range(input.ndim - len(normalized_shape), input.ndim))
    tiny = torch.finfo(input.dtype).eps if eps is None else eps
    scale = (input.square().mean(axes, keepdim=True) + tiny).rsqrt()
    out = scale * (tangent - input * scale**2 * (input * tangent).mean(axes, keepdim=True))
    return out if weight is None else out * weight


def norm_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> float:
    """The p of a call of F.normalize."""
    return float(args[1] if len(args) > 1 else kwargs.get("p", 2.0))


def normalize(
    tangent: Tensor, input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12, **_: Any
) -> Tensor:
    """The tangent of x / max(|x|, ε), also at x = 0, where torch's second derivative is nan."""
    square = input.square().sum(dim, keepdim=True)
    longer = square > eps**2
    length = torch.where(longer, square, 1).sqrt()
    unit = input / length
    along = unit * (unit * tangent).sum(dim, keepdim=True)
    return torch.where(longer, (tangent - along) / length, tangent / eps)


def by_rows(tangent: Tensor, input: Tensor, size: int, eps: float) -> Tensor:
    """The tangent where every so many numbers in a row are normalised together."""
    rows, row_tangents = input.reshape(1, -1, size), tangent.reshape(1, -1, size)
    out: Tensor = NormTangent.apply(rows, row_tangents, eps)
    return out.view_as(input)


BATCH_NORMS: dict[Any, Callable[..., NormCall]] = {
    F.batch_norm: NormCall,
    torch.batch_norm: torch_batch_norm,
}


NORMS: dict[Any, Callable[..., Tensor]] = {
    F.layer_norm: layer_norm,
    torch.layer_norm: layer_norm,
    F.group_norm: group_norm,
    torch.group_norm: group_norm,
    F.instance_norm: instance_norm,
    F.rms_norm: rms_norm,
    torch.rms_norm: rms_norm,
}
"""torch differentiates these twice but not, as a tangent's gradient needs, a third time."""


class NormTangent(torch.autograd.Function):
    """The tangent of rows that are each normalised by their own statistics, `[1, rows, size]`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, tangent: Tensor, eps: float) -> Tensor:
        ctx.normed, ctx.tangent = Normed(x.detach(), None, eps), tangent
        out: Tensor = ctx.normed.tangent(tangent)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return ctx.normed.gradient(grads[0], ctx.tangent), None, None


TRANSPOSED = {torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d}


CONTRACTIONS = {torch.conv1d, torch.conv2d, torch.conv3d, F.linear} | TRANSPOSED


LINEAR = {
    *("view", "reshape", "flatten", "permute", "transpose", "movedim", "squeeze", "unsqueeze"),
    *("contiguous", "clone", "expand", "repeat", "chunk", "split", "unbind", "narrow", "roll"),
    *("mean", "sum", "avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d"),
    *("adaptive_avg_pool2d", "adaptive_avg_pool3d", "__getitem__", "swapaxes", "select", "flip"),
}
"""Linear in their first argument, which alone is a tensor that depends on the weights."""


SUMS = {"add": 1, "__add__": 1, "__radd__": 1, "sub": -1, "__sub__": -1}


PRODUCTS = {"mul", "__mul__", "__rmul__", "multiply", "matmul", "__matmul__", "bmm", "mm"}


QUIET = LINEAR | SUMS.keys() | PRODUCTS | {"relu", "relu_", "max_pool2d", "cat"}


DROPOUTS = {F.dropout, F.dropout1d, F.dropout2d, F.dropout3d}
"""Linear for the mask they drew."""


NEEDS_NO_COPY: dict[str, Callable[[Sequence[Tensor | None], Tensor], Tensor | None]] = {
    **dict.fromkeys(("relu", "relu_"), relu),
    **dict.fromkeys(("__iadd__", "add_"), total),
}
"""In-place operations whose tangent does not need the value before."""


SLOPES: dict[str, Callable[[Tensor], Tensor]] = {
    "relu6": lambda x: ((x > 0) & (x < 6)).to(x.dtype),
    "hardsigmoid": lambda x: ((x > -3) & (x < 3)).to(x.dtype) / 6,
    "hardswish": lambda x: torch.where(x <= -3, 0, torch.where(x >= 3, 1, x / 3 + 0.5)),
}
"""Derivatives of functions that torch itself cannot differentiate twice, or only slowly."""


def floating(out: Any) -> bool:
    """Whether anything in the result can have a tangent."""
    if isinstance(out, tuple | list):
        return any(floating(item) for item in out)
    return isinstance(out, Tensor) and out.is_floating_point()


def flat(args: Iterable[Any], kwargs: dict[str, Any]) -> list[Any]:
    """The arguments, and what is in lists among them."""
    found: list[Any] = []
    for arg in (*args, *kwargs.values()):
        found.extend(arg) if isinstance(arg, tuple | list) else found.append(arg)
    return found
