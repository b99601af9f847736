"""Compute the gradient of the tangent of the loss without a graph of tangents.

The tangent of the loss, wᵀg, is linear in the tangent ẏ of the output of every operation, with the
factor λ = ∂L/∂y. Its gradient is therefore that of Σ λᵀẏ over all operations, where λ is known from
the backward pass, and the tangents of the inputs of an operation are constants. Only where ẏ also
depends on weights or other values does it have to be differentiated. These gradients are injected
into the graph of the loss where they arise, and collected by one backward pass through it.

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

from foretell.engine.by_tensor import ByTensor
from foretell.engine.faster.batch_norm import made_here
from foretell.engine.faster.onednn import safe
from foretell.engine.operations import origin
from foretell.engine.subject import differentiated_if_used

__all__ = ["Apart", "Curvature"]

Use = Callable[..., None]


@dataclass(frozen=True)
class Apart:
    """A tangent whose graph ends at stand-ins for the inputs of the operation."""

    tangent: Tensor


class Roots:
    """Edges of a graph, and the gradient to inject at each."""

    def __init__(self) -> None:
        self.edges: list[GradientEdge] = []
        self.grads: list[Tensor] = []

    def add(self, edge: GradientEdge, grad: Tensor) -> None:
        """Add an edge with its gradient."""
        self.edges.append(edge)
        self.grads.append(grad)

    def by(self, sources: list[Tensor]) -> tuple[Tensor | None, ...]:
        """The total gradient with respect to each source; None if nothing depends on it.

        Raises Undefined if torch cannot differentiate an operation.
        """
        if not self.edges:
            return (None,) * len(sources)
        return differentiated_if_used(self.edges, sources, keep_graph=True, grads=self.grads)


class Curvature:
    """Collects the terms of the gradient of wᵀg during a forward and a backward pass.

    It takes part in backward passes only while it is `armed`.
    """

    def __init__(self) -> None:
        self.armed = False
        self.seconds = 0.0
        """The time spent during the backward pass, which belongs to the step `curvature`."""
        self.fragile = ByTensor[bool]()
        """Views whose λ would be lost if they were overwritten."""
        self._whole, self._apart = Roots(), Roots()
        self._leaves: dict[int, tuple[Tensor, GradientEdge]] = {}
        self._by_weight: dict[int, Tensor] = {}
        self._hooks: list[Any] = []
        self._listening: list[Any] = []

    def when_known(self, out: Tensor, use: Use) -> None:
        """Call `use` once with ∂L/∂out in the backward pass, unless L does not depend on `out`."""
        source = origin(out)
        if source is out and out._is_view():
            self.fragile[out] = True
        node, place, shape = source.grad_fn, source.output_nr, out.shape
        listen = self._once(use)

        def hook(grads: tuple[Tensor | None, ...]) -> None:
            if (grad := grads[place]) is not None:
                grad = grad.detach()
                dense = grad.to_dense() if grad.layout != torch.strided else grad
                listen(dense.reshape(shape))

        if node is not None:
            self._hooks.append(node.register_prehook(hook))

    def when_normed(self, out: Tensor, use: Use) -> None:
        """As `when_known`, for a normalisation, which may pass its means to `use`, too."""
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
        """Register the leaves of the graphs of tangents, and the edges where gradients continue.

        The gradient with respect to a weight, which is its own tangent in several operations,
        continues once.
        """
        for leaf, edge in zip(leaves, edges, strict=True):
            if edge is not None:
                self._leaves.setdefault(id(leaf), (leaf, edge))

    def cut(self, out: Tensor, tangent: Tensor | Apart) -> Tensor:
        """The tangent of `out` as a constant; the gradient of its dependencies is injected later.

        The tangent of a weight, which is the weight itself, is returned unchanged.
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
        """Inject a gradient of Σ λᵀẏ at an edge."""
        self._whole.add(edge, grad)

    def push(
        self, tangent: Tensor, weight: Tensor, out: Tensor, run: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """W∗ẋ = `run(weight)`, where `out` is the same contraction of x."""
        node: Any = out.grad_fn
        is_convolution = node is not None and node.name() == "ConvolutionBackward0"
        if not is_convolution or node._saved_input.shape != tangent.shape:
            return self.cut(out, run(weight))
        settings = (
            *(node._saved_stride, node._saved_padding, node._saved_dilation),
            *(node._saved_transposed, node._saved_output_padding, node._saved_groups),
        )
        fixed = weight.detach()
        operands = safe(tangent, fixed, node._saved_stride)

        def use(grad: Tensor) -> None:
            _, by_weight, _ = torch.ops.aten.convolution_backward(
                grad, *operands, None, *settings, [False, True, False]
            )
            before = self._by_weight.get(id(weight))
            self._by_weight[id(weight)] = by_weight if before is None else before + by_weight

        self.when_known(out, use)
        return run(fixed)

    def product(self, grads: dict[str, Tensor], weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Hw: the gradient of wᵀg, which is g + Hw, minus g.

        Raises Undefined if torch cannot differentiate the tangent of an operation.
        """
        leaves = [leaf for leaf, _ in self._leaves.values()]
        edges = [edge for _, edge in self._leaves.values()]
        for edge, grad in zip(edges, self._apart.by(leaves), strict=True):
            if grad is not None:  # most tangents are constants there
                self._whole.add(edge, grad)
        both = self._whole.by(list(weights.values()))
        found = {}
        for (name, weight), total in zip(weights.items(), both, strict=True):
            by_weight = self._by_weight.get(id(weight))
            if total is None or by_weight is None:
                total = by_weight if total is None else total
            else:
                total = total + by_weight
            found[name] = -grads[name] if total is None else total - grads[name]
        return found

    def let_go(self) -> None:
        """Remove all hooks and release everything."""
        for hook in self._hooks:
            hook.remove()
        for node in self._listening:
            node.listener = None
        self._hooks, self._listening = [], []
        self._leaves.clear()
        self._whole, self._apart = Roots(), Roots()
        self._by_weight.clear()
        self.fragile.clear()
