"""Curvature without a double backward: how everything changes as all weights grow together.

A second forward computation carries, beside each tensor, its tangent along the weights
themselves: d/dt at t = 1 of the tensor with all weights w scaled to t·w. The tangent of the loss is
wᵀg, and its gradient g + Hw (`gradient.py`). For a loss of three factors w it is three times it:

    >>> w = torch.tensor([2.0], requires_grad=True)
    >>> with Tangents({"w": w}) as tangents:
    ...     loss = (w * w * w).sum()
    >>> loss.item(), tangents.of(loss).item()
    (8.0, 24.0)

Along the weights a tangent is cheap: for y = W∗x + b it is W∗ẋ + (y − b), one convolution more, and
a batch normalisation of y has no use for the second part. `rules.py` has a rule for each of the
usual operations; where one has none, two gradients of that operation alone take its place.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.graph import get_gradient_edge
from torch.utils.weak import WeakTensorKeyDictionary

from foretell.engine.curvature.gradient import Curvature
from foretell.engine.curvature.normed import Normed, statistics_of
from foretell.engine.curvature.rules import (
    LINEAR,
    NEEDS_NO_COPY,
    NORM_RULES,
    SLOPES,
    draws_nothing,
    frozen,
    norm_of,
    normalize,
    relu,
    total,
)
from foretell.engine.faster.pools import avg_pool2d
from foretell.engine.observer import Observer, Then
from foretell.engine.operations import (
    BATCH_NORMS,
    CONTRACTIONS,
    DROPOUTS,
    PRODUCTS,
    SUMS,
    TRANSPOSED,
    NormCall,
    contracted,
    in_place,
    out_of_place,
    random_state,
    same_randomness,
)

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


@dataclass(frozen=True)
class Apart:
    """A tangent whose graph ends at stand-ins for what the operation was given."""

    tangent: Tensor


class Tangents(Observer):
    """Within the block every operation also computes the tangent of what it returns.

    `failed` says why tangents could not be carried to the end, if they could not; the operations
    themselves are run as ever, whether or not there are tangents.
    """

    def __init__(self, weights: dict[str, Tensor], failed: str = "") -> None:
        super().__init__()
        self.failed = failed
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
                if isinstance(its_tangent, Apart):
                    its_tangent = self.curvature.cut(tensor, its_tangent.tangent, apart=True)
                elif isinstance(its_tangent, Tensor):
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
        if func in NORM_RULES and not others:
            return NORM_RULES[func](x, *args, **kwargs)
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
        edges: list[Any] = []

        def alias(value: Any) -> Any:
            """A stand-in for each moving argument, so that none is reached through another."""
            if isinstance(value, dict):
                return {key: alias(item) for key, item in value.items()}
            if isinstance(value, tuple | list):
                return type(value)(alias(item) for item in value)
            tangent = self.of(value)
            if tangent is None:
                return value
            aliases.append(value.detach().requires_grad_())
            edges.append(get_gradient_edge(value) if value.requires_grad else None)
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
        found = torch.autograd.grad(slope, directions, create_graph=True, materialize_grads=True)
        leaves = [*aliases, *(t for t in tangents if t.requires_grad)]
        edges += [get_gradient_edge(t) for t in tangents if t.requires_grad]
        self.curvature.apart(leaves, edges)
        mine = (Apart(tangent) for tangent in found)
        if several:
            return [next(mine) if differentiable(out) else None for out in result]
        return next(mine)


def differentiable(out: Any) -> bool:
    """Whether a gradient can be asked of it."""
    return isinstance(out, Tensor) and out.requires_grad


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
