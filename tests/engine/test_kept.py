"""Tensors that a model would recompute or pack are kept as they were when they were saved."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd.graph import save_on_cpu, saved_tensors_hooks
from torch.utils.checkpoint import checkpoint

from foretell.engine.kept import Kept


class Sigmoid(torch.autograd.Function):
    """A function that saves a tensor without an operation that could be observed."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(out := torch.sigmoid(x))
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (out,) = ctx.saved_tensors
        return grads[0] * out * (1 - out)


def again(part: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """A function that is recomputed."""
    return lambda x: checkpoint(part, x, use_reentrant=False)


def added(x: Tensor) -> Tensor:
    """The result is overwritten after the checkpoint."""
    h = again(torch.sigmoid)(x)
    h += x
    return h


def within(x: Tensor) -> Tensor:
    """The result is overwritten within the checkpoint."""
    return again(lambda h: torch.sigmoid(h).mul_(2).exp())(x)


def under_a_view(x: Tensor) -> Tensor:
    """A view of the result is overwritten."""
    h = again(torch.sigmoid)(x)
    h.view(-1).add_(1)
    return h


def half(x: Tensor) -> Tensor:
    """The saved tensor would lose digits."""
    with saved_tensors_hooks(lambda t: t.half(), lambda t: t.double()):
        return torch.sigmoid(x)


def moved(x: Tensor) -> Tensor:
    """The saved tensor would be copied."""
    with save_on_cpu():
        return added(torch.sigmoid(x))


def function_first(x: Tensor) -> Tensor:
    """An autograd function and an operation save tensors of the same shape."""
    return again(lambda h: Sigmoid.apply(h * 3).square())(x)


def nested(x: Tensor) -> Tensor:
    """A checkpoint within another one."""
    return again(lambda h: added(h).square())(x)


PARTS = {f.__name__: f for f in (added, within, under_a_view, half, moved, function_first, nested)}


@pytest.mark.parametrize("name", PARTS)
def test_the_gradient_is_that_of_a_function_without_hooks(name: str) -> None:
    x = torch.linspace(-1, 1, 6, dtype=torch.float64).requires_grad_()
    with Kept():
        y = PARTS[name](x)

    def run(z: Tensor) -> Tensor:  # differences involve no saved tensors
        with torch.no_grad():
            return PARTS[name](z)

    (found,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    step = 1e-6
    expected = (run(x.detach() + step) - run(x.detach() - step)) / (2 * step)
    torch.testing.assert_close(found.detach(), expected, rtol=1e-7, atol=1e-9)
    assert found.requires_grad


@pytest.mark.parametrize("late", [True, False])
def test_what_is_overwritten_out_of_sight_is_refused(late: bool) -> None:
    x = torch.linspace(-1, 1, 6).requires_grad_()
    with Kept():
        y = again(torch.sigmoid)(x)
        if not late:
            with torch._C.DisableTorchFunction():
                y.detach().add_(1)
    if late:
        y.detach().add_(1)
    with pytest.raises(RuntimeError, match="overwritten in place by an operation"):
        y.sum().backward()


def test_hooks_are_the_users_own_again_afterwards() -> None:
    before, packed = saved_tensors_hooks.__enter__, []
    with pytest.raises(ZeroDivisionError), Kept():
        raise ZeroDivisionError
    with Kept(), Kept():
        pass
    assert saved_tensors_hooks.__enter__ is before
    with saved_tensors_hooks(packed.append, lambda t: t):
        torch.ones(2, requires_grad=True).exp()
    assert packed
