"""The gradient of the loss's tangent, without a graph of tangents.

The loss's tangent wᵀg is linear in the tangent ẏ of every operation's output, by λ = ∂L/∂y. Its
gradient is therefore that of Σ λᵀẏ over the operations, with λ as the backward pass computes it and
the tangents that an operation is given as mere numbers: only where a ẏ depends on more than those,
on weights or on other values, there is something to differentiate. All of it is let in at its place
and gathered by one pass back through the loss's own graph.

For L = w³ at w = 2, g = 3w² = 12, H = 6w = 12 and Hw = 24:

    >>> from foretell.engine.curvature.tangents import Tangents
    >>> w = torch.tensor([2.0], requires_grad=True)
    >>> with Tangents({"w": w}) as tangents:
    ...     loss = (w * w * w).sum()
    >>> tangents.curvature.armed = True
    >>> (g,) = torch.autograd.grad(loss, w, retain_graph=True)
    >>> tangents.curvature.product({"w": g}, {"w": w})
    {'w': tensor([24.])}
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.utils.weak import WeakTensorKeyDictionary

from foretell.engine.faster.batch_norm import made_here
from foretell.engine.operations import origin
from foretell.engine.subject import differentiated

__all__ = ["Apart", "Curvature"]

Use = Callable[..., None]


@dataclass(frozen=True)
class Apart:
    """A tangent whose graph ends at stand-ins for what the operation was given."""

    tangent: Tensor


class Roots:
    """Places in a graph, and the gradient that goes in at each."""

    def __init__(self) -> None:
        self.edges: list[GradientEdge] = []
        self.grads: list[Tensor] = []

    def add(self, edge: GradientEdge, grad: Tensor) -> None:
        """One more place."""
        self.edges.append(edge)
        self.grads.append(grad)

    def by(self, sources: list[Tensor]) -> tuple[Tensor, ...]:
        """The gradient of all of it by each source; raises Undefined where there is none."""
        if not self.edges:
            return tuple(torch.zeros_like(source) for source in sources)
        return differentiated(self.edges, sources, keep_graph=True, grads=self.grads)


class Curvature:
    """Collects, in a forward and a backward pass, what the gradient of wᵀg is made of.

    It listens to backward passes while it is `armed`.
    """

    def __init__(self) -> None:
        self.armed = False
        self.seconds = 0.0
        """Time spent in the backward pass, which is not for its own sake."""
        self.fragile = WeakTensorKeyDictionary()
        """Views whose λ would be lost if they were overwritten."""
        self._whole, self._apart = Roots(), Roots()
        self._leaves: dict[int, tuple[Tensor, GradientEdge]] = {}
        self._by_weight: dict[int, Tensor] = {}
        self._hooks: list[Any] = []
        self._listening: list[Any] = []

    def when_known(self, out: Tensor, use: Use) -> None:
        """Call `use` with ∂L/∂out, once, in the backward pass; never if L does not depend on it."""
        source = origin(out)
        if source is out and out._is_view():
            self.fragile[out] = True
        node, place, shape = source.grad_fn, source.output_nr, out.shape
        listen = self._once(use)

        def hook(grads: tuple[Tensor | None, ...]) -> None:
            grad = grads[place]
            if grad is not None:
                listen(grad.detach().reshape(shape))

        if node is not None:
            self._hooks.append(node.register_prehook(hook))

    def when_normed(self, out: Tensor, use: Use) -> None:
        """The same for what a normalisation made; `use` may get the means that it worked out."""
        node: Any = out.grad_fn
        if made_here(node):
            node.listener = self._once(use)
            self._listening.append(node)
        else:
            self.when_known(out, use)

    def _once(self, use: Use) -> Use:
        uses = [use]

        def listen(*given: Tensor) -> None:
            if self.armed and uses:
                start = time.perf_counter()
                uses.pop()(*given)
                self.seconds += time.perf_counter() - start

        return listen

    def stand_for(self, leaves: list[Tensor], edges: list[GradientEdge | None]) -> None:
        """Tensors at which the graphs of tangents end, and where a gradient by each goes on.

        The gradient by a weight, which is its own tangent in several operations, goes on once.
        """
        for leaf, edge in zip(leaves, edges, strict=True):
            if edge is not None:
                self._leaves.setdefault(id(leaf), (leaf, edge))

    def cut(self, out: Tensor, tangent: Tensor | Apart) -> Tensor:
        """The tangent of `out` as a mere number; what it depends on is let in later.

        That of a weight, the weight itself, stays as it is.
        """
        into = self._whole
        if isinstance(tangent, Apart):
            into, tangent = self._apart, tangent.tangent
        if not tangent.requires_grad or out.grad_fn is None:
            return tangent
        edge = get_gradient_edge(tangent)
        self.when_known(out, lambda grad: into.add(edge, grad))
        return tangent.detach()

    def let_in(self, edge: GradientEdge, grad: Tensor) -> None:
        """A gradient of Σ λᵀẏ by what the edge leads to."""
        self._whole.add(edge, grad)

    def push(
        self, tangent: Tensor, weight: Tensor, out: Tensor, run: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """`run(weight)`, W∗ẋ, where `out` is the same contraction of x."""
        node: Any = out.grad_fn
        is_convolution = node is not None and node.name() == "ConvolutionBackward0"
        if not is_convolution or node._saved_input.shape != tangent.shape:
            return self.cut(out, run(weight))
        settings = (
            *(node._saved_stride, node._saved_padding, node._saved_dilation),
            *(node._saved_transposed, node._saved_output_padding, node._saved_groups),
        )
        fixed = weight.detach()

        def use(grad: Tensor) -> None:
            _, by_weight, _ = torch.ops.aten.convolution_backward(
                grad, tangent, fixed, None, *settings, [False, True, False]
            )
            before = self._by_weight.get(id(weight))
            self._by_weight[id(weight)] = by_weight if before is None else before + by_weight

        self.when_known(out, use)
        return run(fixed)

    def product(self, grads: dict[str, Tensor], weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """H w: the gradient of wᵀg, which is g + Hw, less g.

        Raises Undefined where torch cannot differentiate an operation's tangent.
        """
        leaves = [leaf for leaf, _ in self._leaves.values()]
        edges = [edge for _, edge in self._leaves.values()]
        for edge, grad in zip(edges, self._apart.by(leaves), strict=True):
            self._whole.add(edge, grad)
        both = self._whole.by(list(weights.values()))
        found = {}
        for (name, weight), total in zip(weights.items(), both, strict=True):
            by_weight = self._by_weight.get(id(weight))
            found[name] = (total if by_weight is None else total + by_weight) - grads[name]
        return found

    def let_go(self) -> None:
        """Take the hooks away and forget everything."""
        for hook in self._hooks:
            hook.remove()
        for node in self._listening:
            node.listener = None
        self._hooks, self._listening = [], []
        self._leaves.clear()
        self._whole, self._apart = Roots(), Roots()
        self._by_weight.clear()
        self.fragile.clear()
