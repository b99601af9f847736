"""Observe the layers of a forward pass by their operations, and tap their outputs.

A layer is recognised by the operation that it runs, not by its module, which includes weights that
are used functionally (attention projections, `F.linear(x, self.w)`, `x @ self.w.T`).
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from inspect import signature
from typing import Any, ClassVar

import torch
from torch import Tensor

from foretell.batch import tensors
from foretell.engine.by_tensor import ByTensor
from foretell.engine.graph import Given, inside, is_leaf, is_marked, nodes_of
from foretell.engine.observer import Observer, Then
from foretell.engine.observers.biases import Biases, Ran
from foretell.engine.observers.samples import SHAPED, Question, Samples
from foretell.engine.observers.taps import Made, Tap
from foretell.engine.operations import BATCH_NORMS, INTERNAL, RECURRENT, in_place, origin
from foretell.engine.samples.layers import Layer, layer_of, multiplies
from foretell.engine.samples.layout import Without

__all__ = ["Watch"]


LeftOut = tuple[Any, str, list[Made]]
"""A use of weights that is no layer: its node in the graph, the operation, and the weights."""


@dataclass(eq=False)
class Watch(Observer):
    """Within the block, record the layers of one forward pass for the following steps.

    `weights` maps names to the tensors that count. Layers are recorded only if `samples` is given,
    which follows the samples of the batch. A tensor that is computed only from weights (`w.T`, a
    normalised weight) counts as the weight itself.
    """

    replaced: ClassVar = RECURRENT
    weights: dict[str, Tensor]
    samples: Samples | None = None
    tapping: bool = True
    """Whether the gradients of layer outputs are recorded."""
    batch_statistics: bool = False
    """Whether an operation normalised by statistics of the minibatch."""

    def __post_init__(self) -> None:
        super().__init__()
        self.taps: list[Tap] = []
        self._names = {id(weight): Made(name) for name, weight in self.weights.items()}
        self._made = ByTensor[Made]()
        self._with_gradient: set[str] = set()
        self._without_gradient: set[str] = set()
        """The weights of layers that ran under `torch.no_grad`."""
        self._last: tuple[Tensor, Ran] | None = None
        self._biases = None if self.samples is None else Biases(self.samples)
        # The outputs are kept alive, since the id of a freed tensor could be reused.
        self._tapped: dict[int, tuple[Tap, Tensor]] = {}
        self._left_out: list[LeftOut] = []
        self._counting: list[LeftOut] = []
        """Those of the uses left out that the loss depends on."""
        self._calls: Counter[str] = Counter()
        self._hooks: list[Any] = []
        self._armed_for: int | None = None
        self._mark, self._made_mark = object(), object()
        self._hidden = ""
        self._internal = ""
        self._parts: dict[str, set[int]] = defaultdict(set)
        """Where the parts of a weight start that are used in products of their own."""

    def look(
        self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Then | None:
        self._last = None
        if name in INTERNAL:
            self._internal = name
        values = tensors([args[:1] if name in SHAPED else args, kwargs])
        if self._tapped and args and id(args[0]) in self._tapped:
            self._save_before_overwriting(name, args, kwargs)
        if func in BATCH_NORMS and BATCH_NORMS[func](*args, **kwargs).training:
            self.batch_statistics = True
        if self.samples is None or self._biases is None:
            return None
        used = {id(value): made for value in values if (made := self._made_of(value)) is not None}
        bias = self._biases.look(func, name, args, kwargs, values)
        if not used:
            return bias
        given = Given(values)

        def then(out: Any) -> None:
            if bias is not None:
                bias(out)
            outs = [tensor for tensor in tensors(out) if tensor.requires_grad]
            if outs and used:
                inside(outs, given, self._mark)
                found = layer_of(func, name, args, kwargs, out, used)
                accounted = self._use(found, values, outs, used)
                if found is not None and name in RECURRENT:
                    self._tap_states(found, *outs[:2])
                if not accounted and multiplies(name, args, kwargs, used):
                    self._left_out.append((outs[0].grad_fn, name, list(used.values())))
            elif used and not torch.is_grad_enabled() and self._fed(values, used):
                self._note_hidden(func, name, args, kwargs, out, used)

        return then

    def _note_hidden(
        self,
        func: Any,
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        out: Any,
        used: dict[int, Made],
    ) -> None:
        """Record the weight of a layer that runs without gradients."""
        if tensors(out) and layer_of(func, name, args, kwargs, out, used) is not None:
            self._without_gradient.add(joint(list(used.values())).name)

    def _made_of(self, value: Tensor) -> Made | None:
        """The weight that a tensor is or is computed from, if any."""
        made = self._names.get(id(value))
        if made is None and len(self._made):
            made = self._made.get(value)
        return made

    def _use(
        self, found: Layer | None, values: list[Tensor], outs: list[Tensor], used: dict[int, Made]
    ) -> bool:
        """Tap the layer, or record a tensor made of weights only; False if it is neither."""
        assert self.samples is not None
        assert self._biases is not None
        fed = self._fed(values, used)
        tables: tuple[Question, ...] = ()
        if found is not None:
            weight = joint([used[one] for one in found.of])
            self._note_part(found, weight.name, values)
            asked = self.samples.ask(outs[0], weight.name, "layers")
            ran = Ran(found, weight.name)
            self._last = outs[0], ran
            self._biases.start(outs[0], ran)
            self._with_gradient.add(weight.name)
            if self.tapping and (asked.found is not Without.COMMON or asked.open):
                self._tap(outs[0], ran, asked, weight)
            tables = (asked,) if asked.open else ()
        if not fed:
            made = joint(list(used.values()))
            for tensor in outs:
                summary = made.summary or tensor.numel() == 1
                self._made[tensor] = Made(made.name, summary, (*made.tables, *tables))
                node: Any = tensor.grad_fn
                if node is not None and not summary:
                    node.metadata[self._made_mark] = True
        return found is not None or not fed

    def _note_part(self, found: Layer, name: str, values: list[Tensor]) -> None:
        """Record a product with a part of a weight that has all outputs, but not all inputs."""
        weight = self.weights.get(name)
        if weight is None or id(weight) in found.of or found.weights >= weight.numel():
            return
        if found.channels == weight.shape[0] != found.fan_in:
            self._parts[name].update(int(v.storage_offset()) for v in values if id(v) in found.of)

    def _why_partial(self) -> str:
        """The reason why outputs are only parts of those of a layer; empty if they are not."""
        several = [name for name, places in self._parts.items() if len(places) > 1]
        if not several:
            return ""
        return (
            f"products with several parts of the weight {several[0]} each sum over some of its "
            "inputs only, so none is the output of the layer; use the whole weight in one product"
        )

    def _fed(self, values: list[Tensor], used: dict[int, Made]) -> bool:
        """Whether an argument of the operation depends on the samples."""
        assert self.samples is not None
        others = [value for value in values if id(value) not in used]
        return any(self.samples.of(value) is not Without.COMMON for value in others)

    def _tap(self, output: Tensor, ran: Ran, asked: Question, made: Made) -> None:
        """Tap the output of a layer: record its gradient in the backward pass."""
        assert self.samples is not None
        if self.samples.on_trial:
            return
        self._calls[made.name] += 1
        calls = self._calls[made.name]
        tap = Tap(
            name=f"{made.name}#{calls}" if calls > 1 else made.name,
            value=output.detach(),
            version=output._version,
            ran=ran,
            asked=asked,
            route=self.samples.route,
            weight=made,
        )
        self._hooks.append(origin(output).register_hook(self._hook(tap, output.shape)))  # type: ignore[no-untyped-call]
        self.taps.append(tap)
        self._tapped[id(output)] = (tap, output)

    def _tap_states(self, found: Layer, output: Tensor, states: Tensor) -> None:
        """Tap the last states of a recurrent layer, `[layers, N, channels]`.

        The states of the top layer are a copy of the last step of its output.
        """
        assert self.samples is not None
        asked = self.samples.ask(states, "states", "states")
        tap, _ = self._tapped.get(id(output), (None, None))
        if tap is None or states.ndim != 3:
            return
        top = slice(-(output.shape[-1] // states.shape[-1]), None)
        ran = Ran(replace(found, channel_axes=(0, 2)), tap.ran.name)
        tap.states = replace(
            tap, value=states.detach()[top], version=states._version, ran=ran, asked=asked
        )
        hook = self._hook(tap.states, states.shape, top)
        self._hooks.append(states.register_hook(hook))  # type: ignore[no-untyped-call]

    def layer_at(self, output: Tensor) -> Ran | None:
        """The layer that returned this output; None if no layer did."""
        return self._last[1] if self._last is not None and self._last[0] is output else None

    def _hook(
        self, tap: Tap, shape: torch.Size, part: slice = slice(None)
    ) -> Callable[[Tensor], None]:
        def hook(grad: Tensor | None) -> None:
            if grad is not None and self._armed_for == torch._C._current_graph_task_id():
                tap.receive(grad.reshape(shape)[part])

        return hook

    def _save_before_overwriting(
        self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        if in_place(name, args, kwargs) or any(arg is True for arg in args[1:]):
            tap, _ = self._tapped.pop(id(args[0]))
            tap.overwritten = args[0]._is_view() and origin(args[0]) is args[0]
            tap.value = tap.value.clone()
            tap.version = tap.value._version

    def run(self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run recurrent layers by kernels that can be differentiated twice."""
        with differentiable_recurrence():
            return func(*args, **kwargs)

    @contextmanager
    def armed(self, loss: Tensor) -> Iterator[None]:
        """Within the block, let the taps receive gradients, but only those of this loss.

        The model's own backward pass may differentiate other values.
        """

        def begin(_: Tensor) -> None:
            self._armed_for = torch._C._current_graph_task_id()

        hook = loss.register_hook(begin)  # type: ignore[no-untyped-call]
        try:
            yield
        finally:
            self._armed_for = None
            hook.remove()

    def witness(self, loss: Tensor, grads: dict[str, Tensor]) -> None:
        """Record the dependencies of the loss while its graph exists."""
        self._hidden = self._out_of_sight(loss, grads)
        if self._left_out:
            reached = set(nodes_of([loss]))
            self._counting = [one for one in self._left_out if one[0] in reached]

    def why_unseen(self) -> str:
        """The reason why layers may be missing; empty if all operations were observed."""
        unseen = "" if self.samples is None else self.samples.unseen
        if unseen:
            return f"{unseen}, and may contain activations or weights"
        if self._internal:
            return f"`{self._internal}` is an operation within layers, which is not followed"
        hidden = min(self._without_gradient - self._with_gradient, default="")
        return (
            f"the layer of {hidden} runs without gradients, so it cannot be observed"
            if hidden
            else ""
        )

    def why_layers_unseen(self) -> str:
        """Why layers may be missing, also those that the loss does not depend on."""
        return self.why_unseen() or multiplied(self._left_out) or self._why_partial()

    def why_lost(self) -> str:
        """The reason why not all layer outputs are known per sample; empty if they are.

        Valid once all questions about the axis of the samples are answered.
        """
        counted = [tap for tap in self.taps if tap.counts]
        why = next((why for tap in counted if (why := tap.why_lost())), "")
        why = why or multiplied(self._counting) or self._why_partial() or self._hidden
        return why or ("" if counted else "no layer that counts has an output for each sample")

    @property
    def kinds(self) -> tuple[object, ...]:
        """A key that is equal for all parts of a batch that run the same layers."""
        return tuple(tap.kind for tap in self.taps if tap.counts)

    def _out_of_sight(self, loss: Tensor, grads: dict[str, Tensor]) -> str:
        """The reason why a weight is not tapped: an unobserved operation used it; else empty."""
        seen = set()
        for node in nodes_of([loss]):
            for child, _ in node.next_functions:
                name = None if child is None else self._weight_at(child)
                if name is None:
                    continue
                seen.add(name)
                if not is_marked(node, self._mark):
                    return f"{node.name()}, which cannot be observed, uses {name}"
        for name, grad in grads.items():
            if f"the weight {name}" not in seen and grad.any():
                return f"a backward pass within the model uses the weight {name}"
        return ""

    def _weight_at(self, node: Any) -> str | None:
        """A description of the weight at a node of the graph; None if there is none."""
        if not is_leaf(node):
            return "a weight in another form" if is_marked(node, self._made_mark) else None
        made = self._names.get(id(node.variable))
        return None if made is None else f"the weight {made.name}"

    def let_go(self) -> None:
        """Remove all hooks and forget all taps."""
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        self._tapped.clear()
        self._made.clear()
        self._last = None
        self._left_out.clear()
        self._counting.clear()
        self.taps.clear()


def multiplied(left_out: list[LeftOut]) -> str:
    """The reason why some weight has no output channels; empty if there is none."""
    for _, name, used in left_out:
        for made in used:
            if made.is_weight and not made.summary:
                return (
                    f"`{name}` uses the weight {made.name}, but not in a product that sums "
                    "over its inputs, so it has no output channels; write it as F.linear or a "
                    "similar function"
                )
    return ""


def joint(used: list[Made]) -> Made:
    """The record of a tensor computed from several weights, named after the first non-norm."""
    first = next((made for made in used if not made.summary), used[0])
    tables = tuple(asked for made in used for asked in made.tables)
    return Made(first.name, first.summary, tables)


@contextmanager
def differentiable_recurrence() -> Iterator[None]:
    """Run recurrent layers by kernels that can be differentiated twice, on any device."""
    flags = torch.backends.mkldnn.flags
    has_tf32 = "allow_tf32" in signature(flags).parameters  # from PyTorch 2.7 on
    unset: dict[str, Any] = {"allow_tf32": None} if has_tf32 else {}  # setting it would warn
    with flags(enabled=False, **unset), torch.backends.cudnn.flags(enabled=False):
        yield
