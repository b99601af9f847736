"""Watch the operations of a forward pass: tap layer outputs, and run what can be differentiated.

A layer is recognised by the operation it runs, not by its module, so weights used functionally
(attention projections, `F.linear(x, self.w)`) are seen as well.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from foretell.batch import tensors
from foretell.engine.graph import Given, inside, is_leaf, is_marked, nodes_of
from foretell.engine.observer import Observer, Then
from foretell.engine.observers.weighted import channel_axis_of, weight_used
from foretell.engine.operations import RECURRENT, NormCall, origin

__all__ = ["Watch"]

PRODUCT_NAMES = {
    *("matmul", "__matmul__", "__rmatmul__", "mm", "bmm", "addmm", "baddbmm", "einsum", "mv"),
    *("addmv", "tensordot", "inner", "multi_dot", "chain_matmul"),
}


def first_axis(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether several tensors are joined along their first axis."""
    dim = kwargs.get("dim", kwargs.get("axis", args[1] if len(args) > 1 else 0))
    parts = args[0] if args else ()
    return dim == 0 and len(parts) > 1 and all(part.ndim > 1 for part in parts)


@dataclass(eq=False)
class Tap:
    """One layer output and, once the backward pass has come by, its Taylor terms."""

    name: str
    value: Tensor
    version: int
    channel_axis: int
    sample_axis: int | None
    fan_in: int
    samples: int
    taylor: Tensor | None = None
    overwritten: bool = False

    def receive(self, grad: Tensor) -> None:
        """Take ∂L/∂(output) and keep only Σ over positions of a · ∂L/∂a, `[N, C]`."""
        self.overwritten |= self.value._version != self.version
        if self.overwritten:
            return
        # in float32 at least: half precision would lose the sum over positions
        kind = torch.promote_types(grad.dtype, torch.float32)
        product = (self.value.to(kind) * grad.detach()).movedim(self.channel_axis, -1)
        if self.sample_axis:
            product = product.movedim(self.sample_axis, 0)
        # A fold of samples and windows, `[N·k, …]`, keeps a sample's windows together.
        product = product.reshape(self.samples, -1, product.shape[-1]).sum(1)
        self.taylor = product
        del self.value

    def terms(self) -> Tensor:
        """The Taylor terms; zeros if the loss does not depend on this output."""
        if self.taylor is not None:
            return self.taylor
        return self.value.new_zeros(self.samples, self.value.shape[self.channel_axis])


@dataclass(eq=False)
class Watch(Observer):
    """Notes, during one forward pass of `samples` samples, what later steps need to know.

    `weights` names the tensors that count; `only_these` ignores layers whose weight is not one of
    them (a weight computed from parameters counts otherwise). Tapping is off unless asked for.
    """

    weights: dict[str, Tensor]
    samples: int
    inputs: Sequence[Tensor] = ()
    """What the model is fed: only what is computed from them has an axis of samples."""
    tapping: bool = False
    only_these: bool = False
    batch_statistics: bool = False
    """True once an operation normalised by statistics of the minibatch."""
    known_axes: list[int | None] | None = None
    """The `axes` of an earlier pass, for parts too small to tell samples from other axes."""
    axes: list[int | None] = field(default_factory=list)
    """The axis of the samples in each layer output so far; None for one that has no such axis."""
    taps: list[Tap] = field(default_factory=list)
    lost: str = ""
    """Why the layers' outputs are not, or not all, known for each sample; else empty."""

    def __post_init__(self) -> None:
        super().__init__()
        self._names = {id(weight): name for name, weight in self.weights.items()}
        # The outputs themselves are held: the number of one that is gone would be given to another.
        self._tapped: dict[int, tuple[Tap, Tensor]] = {}
        self._hooks: list[Any] = []
        self._armed_for: int | None = None
        self._mark = object()
        self._fed = WeakTensorKeyDictionary(dict.fromkeys(self.inputs, True))

    def look(
        self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Then | None:
        if self._tapped and args and id(args[0]) in self._tapped:
            self._save_before_overwriting(name, args, kwargs)
        if func is F.batch_norm and NormCall(*args, **kwargs).training:
            self.batch_statistics = True
        if not self.tapping:
            return None
        values = tensors([args, kwargs])
        fed = any(tensor in self._fed for tensor in values)
        if fed and name in ("cat", "concat", "concatenate", "vstack") and first_axis(args, kwargs):
            self.lost = f"`{name}` joins inputs along the samples, which are then no longer apart"
        views = [v for v in values if v._base is not None and id(v._base) in self._names]
        if fed and views and name in PRODUCT_NAMES:
            self.lost = (
                f"`{name}` uses the weight {self._names[id(views[0]._base)]} in another form"
            )
        given = Given(values) if any(id(tensor) in self._names for tensor in values) else None

        def then(out: Any) -> None:
            if given is not None:
                inside(tensors(out), given, self._mark)
            if fed:
                self._fed.update(dict.fromkeys(tensors(out), True))
            self._tap(func, name, args, kwargs, out, fed)

        return then

    def run(self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run recurrent layers by kernels that can be differentiated twice."""
        if name not in RECURRENT:
            return func(*args, **kwargs)
        with differentiable_recurrence():
            return func(*args, **kwargs)

    @contextmanager
    def armed(self, loss: Tensor) -> Iterator[None]:
        """Let the taps receive gradients within the block, and only those of this loss.

        A model may differentiate something else in its own backward pass.
        """

        def begin(_: Tensor) -> None:
            self._armed_for = torch._C._current_graph_task_id()

        hook = loss.register_hook(begin)  # type: ignore[no-untyped-call]
        try:
            yield
        finally:
            self._armed_for = None
            hook.remove()

    def out_of_sight(self, loss: Tensor, grads: dict[str, Tensor]) -> str:
        """What used a weight without being seen, so that its output is not tapped; else empty."""
        seen = set()
        for node in nodes_of([loss]):
            for child, _ in node.next_functions:
                if child is None or not is_leaf(child) or id(child.variable) not in self._names:
                    continue
                name = self._names[id(child.variable)]
                seen.add(name)
                if not is_marked(node, self._mark):
                    return f"{node.name()} uses the weight {name} out of sight"
        for name, grad in grads.items():
            if name not in seen and grad.any():
                return f"a backward pass of the model's own uses the weight {name}"
        return ""

    def let_go(self) -> None:
        """Take the hooks away and forget what was tapped."""
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        self._tapped.clear()
        self._fed.clear()
        self.taps.clear()

    def _tap(
        self,
        func: Any,
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        out: Any,
        fed: bool,
    ) -> None:
        weight = weight_used(func, name, args, kwargs, self._names, only_these=self.only_these)
        output = out[0] if isinstance(out, tuple) else out
        if weight is None or not output.requires_grad:
            return
        channel_axis = channel_axis_of(func)
        if self.known_axes:
            place = len(self.axes)
            sample_axis = self.known_axes[place] if place < len(self.known_axes) else None
        else:
            sample_axis = self._sample_axis(output, func, channel_axis, fed)
        rows = output.shape[sample_axis or 0] if output.ndim else 0
        if fed and (sample_axis is None or rows % self.samples or not rows):
            self.lost = (
                f"the output of {self._names.get(id(weight), func.__name__)} has {rows} rows for "
                f"{self.samples} samples, and which are a sample's is not known"
            )
            sample_axis = None
        self.axes.append(sample_axis)
        if sample_axis is None:
            return  # a table read once for all samples: it has no per-sample term
        layer = self._names.get(id(weight), func.__name__)
        calls = sum(tap.name.partition("#")[0] == layer for tap in self.taps)
        tap = Tap(
            name=f"{layer}#{calls + 1}" if calls else layer,
            value=output.detach(),
            version=output._version,
            channel_axis=channel_axis,
            sample_axis=sample_axis,
            fan_in=weight.numel() // output.shape[channel_axis],
            samples=self.samples,
        )
        hook = self._hook(tap, output.shape)
        self._hooks.append(origin(output).register_hook(hook))  # type: ignore[no-untyped-call]
        self.taps.append(tap)
        self._tapped[id(output)] = (tap, output)

    def _hook(self, tap: Tap, shape: torch.Size) -> Callable[[Tensor], None]:
        def hook(grad: Tensor) -> None:
            if self._armed_for == torch._C._current_graph_task_id():
                tap.receive(grad.reshape(shape))

        return hook

    def _sample_axis(self, output: Tensor, func: Any, channel_axis: int, fed: bool) -> int | None:
        """The axis along which samples lie; attention and time-first layers put it second.

        A table that is read once for all samples has none, whatever its length.
        """
        if not fed and (output.ndim < 3 or output.shape[0] != self.samples or self.samples == 1):
            return None
        first, second = output.shape[0], output.shape[1] if output.ndim > 2 else 0
        if func is F.multi_head_attention_forward and output.ndim == 3:
            return 1
        if channel_axis == -1 and first != self.samples and second == self.samples:
            return 1
        return 0 if first % self.samples == 0 else None

    def _save_before_overwriting(
        self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        in_place = (
            name.startswith("__i")
            or (name.endswith("_") and not name.endswith("__"))
            or kwargs.get("inplace", False)
            or any(arg is True for arg in args[1:])
        )
        if in_place:
            tap, _ = self._tapped.pop(id(args[0]))
            tap.overwritten = args[0]._is_view() and origin(args[0]) is args[0]
            tap.value = tap.value.clone()
            tap.version = tap.value._version


@contextmanager
def differentiable_recurrence() -> Iterator[None]:
    """Run recurrent layers by kernels that can be differentiated twice, on any device."""
    quiet = torch.backends.mkldnn.flags(enabled=False, allow_tf32=None)  # setting it would warn
    with quiet, torch.backends.cudnn.flags(enabled=False):
        yield
