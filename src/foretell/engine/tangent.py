"""Curvature without a double backward: how everything changes as all weights grow together.

A second forward computation carries, beside each tensor, its tangent along the weights
themselves: d/dt at t = 1 of the tensor with all weights w scaled to t·w. The tangent of the loss is
wᵀg, and one ordinary backward pass through it gives g + Hw.

Along the weights a tangent is cheap: for y = W∗x + b it is W∗ẋ + (y − b), one convolution more.
Where an operation has no rule here, two gradients of that operation alone take its place.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from foretell.engine.flow import DROPOUTS

__all__ = ["Tangents"]


class Tangents(TorchFunctionMode):
    """Within the block every operation also computes the tangent of what it returns.

    `failed` says why tangents could not be carried to the end, if they could not; the operations
    themselves are run as ever, whether or not there are tangents.
    """

    def __init__(self, weights: dict[str, Tensor]) -> None:
        super().__init__()
        self.failed = ""
        self._tangents = WeakTensorKeyDictionary()
        for weight in weights.values():
            self._tangents[weight] = weight  # d(t·w)/dt = w

    def of(self, value: Any) -> Tensor | None:
        """The tangent of a tensor; None stands for zero."""
        tangent: Tensor | None = None
        if isinstance(value, Tensor):
            tangent = self._tangents.get(value)  # type: ignore[no-untyped-call]
        return tangent

    def __torch_function__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        given = [value for value in flat(args, kwargs) if isinstance(value, Tensor)]
        if not self.failed:
            self._check_seen(given)
        moving = any(self.of(value) is not None for value in given)
        if self.failed or (moving and in_place(name, args, kwargs)):
            return self._in_place(func, name, args, kwargs)
        state = torch.get_rng_state() if moving and func in DROPOUTS else None
        out = func(*args, **kwargs)
        if floating(out):
            with torch._C.DisableTorchFunction():
                self._attach(
                    out,
                    (lambda: self._tangent(func, name, args, kwargs, out, state))
                    if moving
                    else (lambda: None),
                )
        return out

    def _check_seen(self, given: list[Tensor]) -> None:
        """Fail if an operation that was not seen here made one of these tensors."""
        for tensor in given:
            if tensor.grad_fn is not None and tensor not in self._tangents:
                self.failed = f"{tensor.grad_fn.name()} works out of sight"

    def _in_place(self, func: Any, name: str, args: tuple[Any, ...], kwargs: Any) -> Any:
        """An operation that overwrites its first argument.

        ReLU's needs only the sign of the result.
        """
        if self.failed:
            return func(*args, **kwargs)
        target = args[0]
        if target._is_view():
            self.failed = f"`{name}` works in place on a view"
        elif name in ("relu_", "relu"):
            before = self.of(target)
            out = func(*args, **kwargs)
            with torch._C.DisableTorchFunction():
                self._attach(out, lambda: relu(before, out))
            return out
        elif name in ("__iadd__", "add_") and not kwargs and len(args) == 2:
            terms = [self.of(arg) for arg in args]
            out = func(*args, **kwargs)
            with torch._C.DisableTorchFunction():
                self._attach(out, lambda: total(terms, out))
            return out
        else:
            self.failed = f"`{name}` works in place"
        return func(*args, **kwargs)

    def _attach(self, out: Any, compute: Callable[[], Any]) -> None:
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
                self._tangents[tensor] = its_tangent

    def _tangent(
        self, func: Any, name: str, args: tuple[Any, ...], kwargs: Any, out: Any, state: Any
    ) -> Any:
        """The tangent of `out`, which `func` returned."""
        if func in CONTRACTIONS:
            return self._contraction(func, args, kwargs, out)
        if func is F.batch_norm:
            return self._batch_norm(*args, **kwargs)
        x = self.of(args[0])
        others = [value for value in flat(args[1:], kwargs) if self.of(value) is not None]
        if name in RANDOM:
            raise NotImplementedError(f"`{name}` draws random numbers")
        if name == "embedding":
            return func(args[0], self.of(args[1]), *args[2:], **kwargs)
        if state is not None:
            with torch.random.fork_rng([]):
                torch.set_rng_state(state)
                return func(x, *args[1:], **kwargs)
        if name in ("relu", "relu6") and x is not None:
            return relu(x, out) if name == "relu" else relu6(x, out)
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
        kwargs = dict(kwargs)
        x, weight, *rest = args
        bias = kwargs.pop("bias", rest[0] if rest else None)
        tx, tw = self.of(x), self.of(weight)
        whole = tw is weight and (bias is None or self.of(bias) is None)
        if not whole or (bias is not None and func in TRANSPOSED):
            return self._by_two_gradients(func, args, kwargs if rest else {**kwargs, "bias": bias})
        less_bias = None if bias is None else -bias
        if tx is not None:
            return out + func(tx, weight, less_bias, *rest[1:], **kwargs)
        if less_bias is None:
            return out
        return out + less_bias.view(-1, *[1] * (out.ndim - 2 if func is not F.linear else 0))

    def _batch_norm(
        self,
        input: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        tangent = self.of(input)
        assert tangent is not None
        if training or running_mean is None or running_var is None:
            out: Tensor = BatchNormTangent.apply(input, tangent, weight, eps)
            return out
        scale = (running_var + eps).rsqrt() * (1 if weight is None else weight)
        return tangent * scale.view(-1, *[1] * (input.ndim - 2))

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


def relu(tangent: Tensor | None, out: Tensor) -> Tensor | None:
    """The tangent where the result is positive."""
    if tangent is None:
        return None
    masked: Tensor = torch.ops.aten.threshold_backward(tangent, out, 0)
    return masked


def relu6(tangent: Tensor, out: Tensor) -> Tensor:
    """The tangent where the result is between its bounds."""
    masked: Tensor = torch.ops.aten.hardtanh_backward(tangent, out, 0, 6)
    return masked


def total(terms: list[Tensor | None], out: Tensor) -> Tensor | None:
    """The sum of the tangents that are not zero, of the result's shape."""
    there = [term for term in terms if term is not None]
    if not there:
        return None
    summed = there[0] if len(there) == 1 else there[0] + there[1]
    return summed if summed.shape == out.shape else summed.expand_as(out)


class BatchNormTangent(torch.autograd.Function):
    """γ·s·(ẋ − mean ẋ − x̂·mean(x̂ẋ)) with s = 1/√(var + ε) and x̂ = (x − mean)·s, per channel.

    Its backward pass is written out: autograd would take some thirty passes over memory for it.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, tangent: Tensor, weight: Tensor | None, eps: float) -> Tensor:
        axes = [0, *range(2, x.ndim)]
        var, mean = torch.var_mean(x, axes, correction=0, keepdim=True)
        s = (var + eps).rsqrt()
        gamma = torch.ones_like(s) if weight is None else weight.detach().view_as(s)
        n = x.numel() // x.shape[1]
        m1 = tangent.mean(axes, keepdim=True)
        m2 = ((x * tangent).sum(axes, keepdim=True) / n - mean * m1) * s
        ctx.save_for_backward(x, tangent, mean, s, gamma, m1, m2)
        # γ s (ẋ − m1 − (x − mean) s m2), as one number a channel times x and ẋ
        by_x = -gamma * s * s * m2
        return torch.addcmul(-gamma * s * m1 - by_x * mean, by_x, x).addcmul_(gamma * s, tangent)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        (c,) = grads
        x, tangent, mean, s, gamma, m1, m2 = ctx.saved_tensors
        axes = [0, *range(2, x.ndim)]
        n = x.numel() // x.shape[1]
        c0 = c.mean(axes, keepdim=True) * gamma
        k = ((c * x).sum(axes, keepdim=True) / n * gamma - c0 * mean) * s
        ct = (c * tangent).sum(axes, keepdim=True) / n * gamma
        # to ẋ: s (γc − c0 − x̂ k)
        by_x = -s * s * k
        to_tangent = torch.addcmul(-s * c0 - by_x * mean, by_x, x).addcmul_(s * gamma, c)
        # to x: −s² [m2 γc + k ẋ + (ct − c0 m1 − 3 k m2) x̂ − (m2 c0 + k m1)]
        by_x = -(s**3) * (ct - c0 * m1 - 3 * k * m2)
        to_x = torch.addcmul(s * s * (m2 * c0 + k * m1) - by_x * mean, by_x, x)
        to_x = to_x.addcmul_(-s * s * m2 * gamma, c).addcmul_(-s * s * k, tangent)
        return to_x, to_tangent, None, None


TRANSPOSED = {torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d}
CONTRACTIONS = {torch.conv1d, torch.conv2d, torch.conv3d, F.linear} | TRANSPOSED
LINEAR = {
    *("view", "reshape", "flatten", "permute", "transpose", "movedim", "squeeze", "unsqueeze"),
    *("contiguous", "clone", "expand", "repeat", "chunk", "split", "unbind", "narrow", "roll"),
    *("mean", "sum", "avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d"),
    *("adaptive_avg_pool2d", "adaptive_avg_pool3d", "__getitem__", "swapaxes", "select", "flip"),
}
"""Linear in their first argument, which alone is a tensor that depends on the weights."""
RANDOM = {"rrelu", "gumbel_softmax", "bernoulli", "fractional_max_pool2d", "feature_dropout"}
SUMS = {"add": 1, "__add__": 1, "__radd__": 1, "sub": -1, "__sub__": -1}
PRODUCTS = {"mul", "__mul__", "__rmul__", "multiply", "matmul", "__matmul__", "bmm", "mm"}


def in_place(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether the operation overwrites its first argument."""
    if name.startswith("__i") and name not in ("__index__", "__int__", "__invert__"):
        return True
    if name.endswith("_") and not name.endswith("__"):
        return name not in ("requires_grad_", "retain_grad_")
    return bool(kwargs.get("inplace")) or name == "__setitem__"


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
