"""Curvature without a double backward pass: the derivative along the weights themselves.

During the forward pass, the tangent of each tensor along the weights is computed as well: d/dt at
t = 1 of the tensor with all weights w scaled to t·w. The tangent of the loss is wᵀg, and its
gradient is g + Hw (`gradient.py`). For a loss with three factors w, the tangent is three times the
loss:

    >>> w = torch.tensor([2.0], requires_grad=True)
    >>> with Tangents({"w": w}) as tangents:
    ...     loss = (w * w * w).sum()
    >>> loss.item(), tangents.of(loss).item()
    (8.0, 24.0)

Tangents along the weights are cheap: for y = W∗x + b, the tangent is W∗ẋ + (y − b), which takes one
more convolution, and a batch normalisation of y removes the second term. `rules.py` has a rule for
each common operation; for other operations, two gradients of that operation alone are used.
"""

import sys
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.graph import get_gradient_edge

from foretell.batch import tensors
from foretell.engine.by_tensor import ByTensor
from foretell.engine.curvature.gradient import Apart, Curvature
from foretell.engine.curvature.normed import Normed, statistics_of
from foretell.engine.curvature.rules import (
    LINEAR,
    NEEDS_NO_COPY,
    NORM_RULES,
    NOT_THRICE,
    REWRITTEN,
    SLOPES,
    draws_nothing,
    frozen,
    lying_as,
    norm_of,
    normalize,
    relu,
    total,
)
from foretell.engine.curvature.two_gradients import by_two_gradients
from foretell.engine.failures import is_out_of_memory
from foretell.engine.faster.pools import avg_pool2d
from foretell.engine.graph import Given, Inside, inside, is_marked, unmarked
from foretell.engine.observer import Observer, Then, operation_name
from foretell.engine.observers.samples import MADE, SHAPED
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
    words,
)

__all__ = ["Tangents"]

HOOKED = "a hook changes a gradient"

SMALL = 1024
"""An operation with fewer numbers per sample is small: handling its tangent takes longer."""

MANY = 2000
"""With more small operations, such as time steps, a double backward pass is cheaper."""

ROUNDING = {torch.float64: 1e-8, torch.float32: 1e-4}
"""The allowed difference of two sums, relative to Σ |w| |g|."""

LONG = 400
"""If an operation without a rule has more nodes, a double backward pass is cheaper."""


class Pushed:
    """The tangent u + (y − b) of a contraction y = W∗x + b; the sum is formed only when needed.

    `u` is W∗ẋ in its own memory, or None for zero; the axes of `bias` match those of y. `readers`
    is the number of normalisations that use u without the sum.
    """

    def __init__(self, u: Tensor | None, bias: Tensor | None) -> None:
        self.u, self.bias = u, bias
        self.formed: Tensor | None = None
        self.readers = 0

    def form(self, y: Tensor, curvature: Curvature) -> Tensor:
        """The sum, as a constant; the gradient with respect to y is injected later."""
        if self.formed is None:
            edge = get_gradient_edge(y)
            curvature.when_known(y, lambda grad: curvature.let_in(edge, grad))
            own = y.detach() if self.bias is None else y.detach() - self.bias
            self.formed = own.clone() if self.u is None else own + self.u
        return self.formed


class GivenUp(Exception):
    """Tangents cannot be computed any further, or not efficiently; the message is the reason."""


class Tangents(Observer):
    """Within the block, every operation also computes the tangent of its result.

    `failed` is the reason if the tangents could not be computed up to the loss; the operations
    themselves always run as usual. The tangents are valid only if the whole graph of the loss was
    created by observed operations from their own arguments. `doubted` is true if a hook may have
    changed a gradient.
    """

    replaced = (Tensor.register_hook,)

    def __init__(self, weights: dict[str, Tensor], samples: int = 1, failed: str = "") -> None:
        """`samples` is the size of the batch, which determines what counts as a small operation."""
        super().__init__()
        self.failed = failed
        self.curvature = Curvature()
        self.doubted = False
        self.cut = False
        """Whether a number that depends on the weights is treated as a constant (`detach`)."""
        self.nested = False
        """Whether an operation was given a nested tensor."""
        if any(weight._backward_hooks for weight in weights.values()):
            self._doubt(HOOKED)
        self._slope: Tensor | None = None
        self._mark = object()
        self._few = SMALL * samples
        self._cost, self._small = 0, False
        self._inner = Inside()
        self._tangents = ByTensor[Tensor | Pushed | None]()
        self._weights = {id(weight) for weight in weights.values()}
        for weight in weights.values():
            self._tangents[weight] = weight  # d(t·w)/dt = w

    def of(self, value: Any) -> Tensor | None:
        """The tangent of a tensor; None stands for zero."""
        tangent = self._kept(value)
        return tangent.form(value, self.curvature) if isinstance(tangent, Pushed) else tangent

    def _kept(self, value: Any) -> Tensor | Pushed | None:
        """The stored tangent, whose sum may not have been formed yet."""
        kept: Tensor | Pushed | None = None
        if isinstance(value, Tensor):
            kept = self._tangents.get(value)
        return kept

    def forget(self) -> None:
        """Release all tangents, except those that are still needed elsewhere."""
        self._tangents.clear()

    def let_go(self) -> None:
        """Release everything, and take no part in further backward passes."""
        self.forget()
        self.curvature.let_go()

    def give_up(self, why: str) -> None:
        """Stop computing tangents, for this reason."""
        self.failed = why
        self.let_go()

    def check(self, loss: Tensor) -> None:
        """Give up if the loss depends on operations that were not observed."""
        if not self.failed and (node := unmarked([loss], self._mark)) is not None:
            self.give_up(f"{node.name()} cannot be observed")
        self._slope = self.of(loss)

    def check_gradient(self, grads: dict[str, Tensor], weights: dict[str, Tensor]) -> None:
        """Give up if the tangent of the loss is not wᵀg, so that the tangent or g must be wrong.

        Both are sums that may cancel, so their difference is compared with Σ |w| |g|.
        """
        if self.failed:
            return
        pairs = [(weight.detach(), grads[name]) for name, weight in weights.items()]
        along = sum(float((w * g).sum()) for w, g in pairs)
        size = sum(float(w.norm() * g.norm()) for w, g in pairs)
        slope = 0.0 if self._slope is None else float(self._slope)
        allowed = ROUNDING.get(pairs[0][1].dtype, 0.1)
        if abs(slope - along) > allowed * size:
            self._doubt("the tangent of the loss does not match its gradient")
            self.let_go()

    def run(self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Register a hook on a tensor, and observe whether it changes the gradient."""
        tensor, hook = (*args, *kwargs.values())
        return tensor.register_hook(lambda grad: self._watched(hook, grad))

    def _watched(self, hook: Callable[[Tensor], Any], grad: Tensor) -> Any:
        version = grad._version
        changed = hook(grad)
        if changed is not None or grad._version != version:
            self._doubt(HOOKED)
        return changed

    def _doubt(self, why: str) -> None:
        self.doubted = True
        self.failed = self.failed or why

    def look(
        self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Then | None:
        if func == GRAPH_OF and not asked_by_torch():
            self._doubt(HOOKED)  # its use of the graph cannot be observed
        values = [value for value in flat(args, kwargs) if isinstance(value, Tensor)]
        moving = any(map(self._moves, values[:1] if name in SHAPED else values))
        self.cut |= moving and name in CUTTING
        self.nested |= any(value.is_nested for value in values)
        if self.failed:
            return self._note_cut if moving and not is_made(name) else None
        given = Given(values)
        try:
            self._check_seen(values)
            compute = self._tangent_later(func, name, args, kwargs, given)
        except GivenUp as reason:
            self.give_up(str(reason))
            return None

        def then(out: Any) -> None:
            if moving and not is_made(name):
                self._note_cut(out)
            self._take(name, out, given, compute)

        return then

    def _moves(self, value: Tensor) -> bool:
        """Whether a tensor depends on the weights, or may do so if tangents are not computed."""
        return value.requires_grad if self.failed else self._kept(value) is not None

    def _note_cut(self, out: Any) -> None:
        """Note whether a result of an operation on what depends on the weights is a constant."""
        self.cut |= any(
            one.is_floating_point() and one.numel() and not one.requires_grad
            for one in tensors(out)
        )

    def _tangent_later(
        self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], given: Given
    ) -> Callable[[Any], Any] | None:
        """A function that computes the tangent of a result; None if the result is constant."""
        moving = any(self._kept(value) is not None for value in given.tensors.values())
        if in_place(name, args, kwargs):
            given.include_bases()
            if moving and id(args[0]) not in self._weights:
                return self._overwriting(func, name, args, kwargs)
        if not moving or not torch.is_grad_enabled():  # without gradients, the result is constant
            return None
        before = {} if draws_nothing(func, name) else random_state(list(given.tensors.values()))

        def compute(out: Any) -> Any:
            with same_randomness(before) if before else nullcontext():
                return self._tangent(func, name, args, kwargs, out)

        return compute

    def _take(
        self, name: str, out: Any, given: Given, compute: Callable[[Any], Any] | None
    ) -> None:
        """Check the nodes that an operation added to the graph, and store its result's tangents."""
        if self.failed or not floating(out):
            return
        several = isinstance(out, tuple | list)
        outs = out if several else [out]
        try:
            self._account(name, [one for one in outs if isinstance(one, Tensor)], given)
            tangent = None if compute is None else compute(out)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            self.give_up(str(error).partition("\n")[0])
            return
        tangents = tangent if several and tangent is not None else [tangent] * len(outs)
        for tensor, its_tangent in zip(outs, tangents, strict=True):
            if isinstance(tensor, Tensor) and id(tensor) not in self._weights:
                if isinstance(its_tangent, Tensor | Apart):
                    its_tangent = self.curvature.cut(tensor, its_tangent)
                self._tangents[tensor] = its_tangent

    def _account(self, name: str, outs: list[Tensor], given: Given) -> None:
        """Mark the nodes that an operation added to the graph. Raises GivenUp for unusual ones."""
        self._inner = inner = inside(outs, given, self._mark)
        if inner.foreign:
            raise GivenUp(f"`{name}` has a custom derivative")
        if inner.stray:
            raise GivenUp(f"`{name}` uses a tensor that is not among its arguments")
        if inner.chained:
            raise GivenUp(f"the results of `{name}` depend on each other")
        self._small = sum(out.numel() for out in outs) < self._few
        self._cost += self._small
        if self._cost > MANY:
            raise GivenUp(f"it is cheaper for more than {MANY} small operations")

    def _by_two_gradients(self, func: Any, args: tuple[Any, ...], kwargs: Any) -> Any:
        """The tangent of an operation without a rule, unless that is too expensive."""
        if operation_name(func) in NOT_THRICE:
            raise GivenUp(f"torch cannot differentiate `{func.__name__}` three times")
        nodes = self._inner.nodes
        if nodes > LONG:
            raise GivenUp(f"it is cheaper for the {nodes} operations in one `{func.__name__}`")
        self._cost += nodes if self._small else 0
        func = REWRITTEN.get(func, func)
        return by_two_gradients(self.of, self.curvature, func, args, kwargs)

    def _check_seen(self, values: list[Tensor]) -> None:
        """Raise GivenUp if one of the tensors is the result of an unobserved operation."""
        for tensor in values:
            node = tensor.grad_fn
            if node is not None and not (is_marked(node, self._mark) and tensor in self._tangents):
                raise GivenUp(f"{node.name()} cannot be observed")

    def _overwriting(
        self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Callable[[Any], Any]:
        """A function that computes the tangent of an operation that overwrites its argument."""
        target = args[0]
        self._forget_aliases(target)
        if name == "__setitem__" or kwargs.get("out") is not None:
            raise GivenUp(f"`{name}` writes into a tensor")
        if name in NEEDS_NO_COPY and not kwargs.get("alpha"):
            tangents = (self.of(target), *(self.of(arg) for arg in args[1:]))
            return lambda out: NEEDS_NO_COPY[name](tangents, out)
        apart = out_of_place(func, name, kwargs)
        if apart is None:
            raise GivenUp(f"`{name}` overwrites a tensor")
        copy = target.clone()
        self._tangents[copy] = self.of(target)
        before = random_state([target])

        def compute(out: Any) -> Any:
            plain, its_name, its_kwargs = apart
            with same_randomness(before):
                return self._tangent(plain, its_name, (copy, *args[1:]), its_kwargs, out.clone())

        return compute

    def _forget_aliases(self, target: Tensor) -> None:
        """Forget the tangents of all tensors that share memory with an overwritten one.

        A weight is excluded: a model that writes to its weights is scored at the new values.
        """
        memory = target.untyped_storage().data_ptr()
        for tensor in list(self._tangents):
            if tensor is target or id(tensor) in self._weights:
                continue
            if tensor.untyped_storage().data_ptr() == memory:
                del self._tangents[tensor]
        for tensor in self.curvature.fragile:
            if tensor.untyped_storage().data_ptr() == memory:
                raise GivenUp("a view is overwritten")

    def _tangent(self, func: Any, name: str, args: tuple[Any, ...], kwargs: Any, out: Any) -> Any:
        """The tangent of `out`, the result of `func`."""
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
            return func(lying_as(x, args[0]), *args[1:], **kwargs)
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
        """W∗ẋ + Ẇ∗x, where Ẇ∗x = y − b if Ẇ = W."""
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
        """The tangent of a batch normalisation by batch statistics or by fixed ones."""
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
            if formed is not None:  # as another operation used the sum, all of λ is injected
                found = normed.gradient(grad, formed, means=known)
            else:
                alone = isinstance(kept, Pushed) and kept.readers == 1
                found = normed.gradient(grad, u, own, known, over_u=alone)
            self.curvature.let_in(edge, found)

        self.curvature.when_normed(out, use)
        return normed.tangent(u, own)


def is_made(name: str) -> bool:
    """Whether an operation uses only the shape and the type of the tensor that it is given."""
    return name in MADE or name.endswith("_like")


CUTTING = words("item __float__ tolist numpy __array__ gumbel_softmax")
"""Operations that take numbers out of autograd, or may do so inside."""


def floating(out: Any) -> bool:
    """Whether any part of the result can have a tangent."""
    if isinstance(out, tuple | list):
        return any(floating(item) for item in out)
    return isinstance(out, Tensor) and out.is_floating_point()


def flat(args: Iterable[Any], kwargs: dict[str, Any]) -> list[Any]:
    """The arguments, with lists among them flattened."""
    found: list[Any] = []
    for arg in (*args, *kwargs.values()):
        found.extend(arg) if isinstance(arg, tuple | list) else found.append(arg)
    return found


GRAPH_OF = vars(torch._C.TensorBase)["grad_fn"].__get__


def asked_by_torch() -> bool:
    """Whether the current operation was called by torch's own code."""
    frame = sys._getframe()
    while frame.f_globals["__name__"].startswith("foretell.engine") and frame.f_back:
        frame = frame.f_back
    return bool(frame.f_globals["__name__"].startswith("torch."))
