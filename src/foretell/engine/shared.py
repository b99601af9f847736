"""A convolution of a tangent that does not repeat what the backward pass computed.

The loss's tangent depends on ẏ as the loss does on y: both by λ. So Wᵀλ, the gradient by the
convolution's input, is also the one by the input's tangent; one convolution of nine is saved.
"""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["Sharing"]


class Shared:
    """What the backward pass leaves for the pass after it at one convolution.

    It takes the tangent's place in memory: λ∗ẋ is formed at once, and ẋ is no longer needed.
    """

    def __init__(self, tangent: Tensor, weight: Tensor, settings: tuple[Any, ...]) -> None:
        self.tangent: Tensor | None = tangent.detach()
        self.weight = weight.detach()
        self.settings = settings
        self.by_input: Tensor | None = None
        self.by_weight: Tensor | None = None

    def gradients(self, grad: Tensor, by_input: bool) -> tuple[Tensor | None, Tensor]:
        """Wᵀ∗grad if asked for, and grad∗ẋ."""
        found = torch.ops.aten.convolution_backward(
            grad, self.tangent, self.weight, None, *self.settings, [by_input, True, False]
        )
        return found[0], found[1]

    def receive(self, by_input: Tensor, grad: Tensor) -> None:
        """Take Wᵀλ and λ of the backward pass."""
        if self.tangent is not None:
            _, self.by_weight = self.gradients(grad.detach(), by_input=False)
            self.by_input, self.tangent = by_input.detach(), None

    def give(self, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """The gradients by the tangent and by the weight, computed here if none were received."""
        if self.tangent is not None:
            return self.gradients(grad, by_input=True)
        found = self.by_input, self.by_weight
        self.by_input = self.by_weight = None
        return found


class Pushed(torch.autograd.Function):
    """W∗ẋ − b with the gradients that are shared."""

    @staticmethod
    def forward(
        ctx: Any, tangent: Tensor, weight: Tensor, pushed: Callable[[], Tensor], shared: Shared
    ) -> Tensor:
        ctx.shared = shared
        return pushed()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        return *ctx.shared.give(grads[0]), None, None


class Sharing:
    """Lets the convolutions of a forward pass leave their gradients, within a block."""

    def __init__(self) -> None:
        self.seconds = 0.0
        """Time spent on λ∗ẋ in the backward pass, which is not for its own sake."""
        self.armed = False

    def convolution(
        self, tangent: Tensor, weight: Tensor, out: Tensor, pushed: Callable[[], Tensor]
    ) -> Tensor:
        """What `pushed` gives, W∗ẋ − b, where `out` is the same convolution of x."""
        node: Any = out.grad_fn
        if (
            node is None
            or node.name() != "ConvolutionBackward0"
            or node._saved_input.shape != tangent.shape
        ):
            return pushed()
        settings = (
            node._saved_stride,
            node._saved_padding,
            node._saved_dilation,
            node._saved_transposed,
            node._saved_output_padding,
            node._saved_groups,
        )
        shared = Shared(tangent, weight, settings)

        def hook(to: tuple[Tensor | None, ...], by: tuple[Tensor | None, ...]) -> None:
            if self.armed and to[0] is not None and by[0] is not None:
                start = time.perf_counter()
                shared.receive(to[0], by[0])
                self.seconds += time.perf_counter() - start

        node.register_hook(hook)
        result: Tensor = Pushed.apply(tangent, weight, pushed, shared)
        return result
