"""Measure how strongly the channels of activations and layers are correlated in each sample.

Of the inputs of activation functions and the outputs of layers with a weight, only the correlations
of their channels are kept, and finally only the smallest eigenvalues of these.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from math import prod
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch._C._functorch import is_functorch_wrapped_tensor
from torch.utils.hooks import RemovableHandle

from foretell.batch import tensors
from foretell.engine.observer import Observer, Then
from foretell.engine.observers.activations import SMOOTH, plain_name
from foretell.engine.observers.bends import Bend, Taker
from foretell.engine.observers.channel_axes import ChannelAxes
from foretell.engine.observers.correlations import (
    Products,
    products_of,
    stacked,
)
from foretell.engine.observers.layer_outputs import Watch
from foretell.engine.observers.moments import Moments
from foretell.engine.observers.samples import Samples, Waiting
from foretell.engine.samples.layout import Without
from foretell.engine.subject import Unavailable
from foretell.seeds import derived_seed

__all__ = ["CHANNEL_QUANTITIES", "Channels"]

CHANNELS, DRAWS = 8, 4
"""The number of channels per draw, and the number of draws, for each layer."""

MODULE_QUANTITIES = {"module_minima", "module_draws", "module_channels"}
"""The quantities that use one sample and the output of every module."""

MINIMA = {"activation_minima", "activation_draws", "layer_draws"} | MODULE_QUANTITIES
"""The quantities that are smallest eigenvalues."""

CHANNEL_QUANTITIES = MINIMA | {"activation_moments"}


class Channels(Observer, Taker):
    """Within the block, record the correlations that the requested quantities need.

    `samples` and `watch` must be active around this observer. `modules` contains the modules of the
    model by name.
    """

    def __init__(
        self,
        wanted: set[str],
        inputs: Iterable[Tensor],
        samples: Samples,
        watch: Watch,
        seed: int,
        *,
        modules: Iterable[tuple[str, nn.Module]] = (),
    ) -> None:
        super().__init__()
        self._samples, self._watch, self._seed = samples, watch, seed
        self._axes = ChannelAxes(inputs)
        self._minima = {name: Minima() for name in sorted(wanted & MINIMA)}
        self._moments = Moments() if "activation_moments" in wanted else None
        self._calls: Counter[tuple[str, str]] = Counter()
        self._smooth: Counter[str] = Counter()
        self._modules = list(modules) if wanted & MODULE_QUANTITIES else []
        self._drawn: Counter[str] = Counter()
        self._hooks: list[RemovableHandle] = []
        self.waiting = Waiting()

    def __enter__(self) -> "Channels":
        super().__enter__()
        for name, module in self._modules:
            hook = partial(self._module, name or type(module).__name__)
            self._hooks.append(module.register_forward_hook(hook))
        return self

    def __exit__(self, *raised: Any) -> None:
        for hook in self._hooks:
            hook.remove()
        super().__exit__(*raised)

    def enters(self, bend: Bend) -> None:
        """Record the input of an activation."""
        axis = self._axes.of(bend.whole)
        if axis is not None:
            self._activation(bend.name, bend.x, axis)

    def leaves(self, bend: Bend) -> None:
        """Record the output of an activation."""
        axis = None if bend.out is None else self._axes.of(bend.out)
        if bend.out is not None and axis is not None and self._moments is not None:
            self._bent(self._moments, bend.name, bend.out)

    def miss(self, why: str) -> None:
        """Record why some activations are not known."""
        for name, minima in self._minima.items():
            if name.startswith("activation"):
                minima.lost = minima.lost or why
        if self._moments is not None:
            self._moments.lost = self._moments.lost or why

    def look(
        self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Then | None:
        if plain_name(name) in SMOOTH:
            self._smooth[plain_name(name)] += 1

        def then(out: Any) -> None:
            output = next(iter(tensors(out)), None)
            ran = None if output is None else self._watch.layer_at(output)
            self._axes.note(func, name, args, kwargs, out, ran.layer if ran else None)
            if output is None:
                return
            if ran is None or "layer_draws" not in self._minima:
                return
            if not self._axes.is_apart(output):
                called = self._unique("layer", ran.name)
                axes = ran.layer.channel_axes
                self._draw(self._minima["layer_draws"], called, output, axes, "layer")

        return then

    def quantity(self, name: str) -> dict[str, Any] | Unavailable:
        """A quantity by its name, or the reason why it is unavailable."""
        if self._moments is not None and name == "activation_moments":
            return self._of_moments(self._moments)
        minima = self._minima[name]
        hidden = "" if name in MODULE_QUANTITIES else self._watch.why_unseen()
        if name == "layer_draws":
            hidden = self._watch.why_layers_unseen()
        if why := minima.lost or hidden:
            return Unavailable(why)
        if name == "module_channels":
            return minima.channels
        if minima.layers and not minima.all_singular:
            return minima.found()
        if minima.layers:
            few = f", of which {CHANNELS} are drawn" if "draws" in name else ""
            return Unavailable(
                f"the {WHERE[name]} has no more positions than channels{few}, so the smallest "
                "eigenvalue of their correlations is always 0"
            )
        return Unavailable(self._nothing(name))

    def _of_moments(self, moments: Moments) -> dict[str, Tensor] | Unavailable:
        """`activation_moments`, or the reason why they are unavailable."""
        if why := moments.lost or self._watch.why_unseen():
            return Unavailable(why)
        return moments.layers or Unavailable(self._nothing("activation_moments"))

    def _nothing(self, name: str) -> str:
        """The reason why a quantity has no layer."""
        if name == "layer_draws":
            return "no layer with a weight that counts has an output for each sample"
        if name in MODULE_QUANTITIES:
            return "no module of this model has an output for each sample"
        found = ", ".join(f"{name} × {times}" for name, times in self._smooth.items())
        why = "no operation of this model is an activation function"
        return f"{why} (found: {found})" if found else why

    def _module(self, name: str, module: nn.Module, given: Any, output: Any) -> None:
        """Record the output of a module for the first sample."""
        with torch._C.DisableTorchFunction():
            x = next(iter(tensors(output)), None)
            axis = None if x is None else self._axes.of(x)
            if x is None or axis is None:
                return
            layer = self._unique("module", name)
            for quantity in sorted(MODULE_QUANTITIES & self._minima.keys()):
                minima = self._minima[quantity]
                if quantity == "module_draws":
                    self._draw(minima, layer, x, [axis], "module")
                else:
                    take = partial(minima.add_first, layer)
                    self._see(minima, f"the output of {layer}", x, [axis], take)

    def _activation(self, name: str, x: Tensor, axis: int) -> None:
        """Record the input of an activation."""
        layer = self._unique("activation", name)
        if (minima := self._minima.get("activation_minima")) is not None:
            take = partial(minima.add, layer)
            self._see(minima, f"the input of {layer}", x, [axis], take)
        if (minima := self._minima.get("activation_draws")) is not None:
            self._draw(minima, layer, x, [axis], "activation")

    def _bent(self, moments: Moments, name: str, output: Any) -> None:
        """Record the output of an activation."""
        axis = self._axes.of(output)
        if axis is not None:
            layer = self._unique("output", name)
            take = partial(moments.add, layer)
            self._see(moments, f"the output of {layer}", output, [axis], take)

    def _unique(self, kind: str, name: str) -> str:
        """The name, with a number appended if it has been used before."""
        self._calls[kind, name] += 1
        calls = self._calls[kind, name]
        return name if calls == 1 else f"{name}#{calls}"

    def _draw(
        self, minima: "Minima", layer: str, x: Tensor, axes: Sequence[int], kind: str
    ) -> None:
        """Record random channels, drawn by the seed and the position of the layer."""
        side = "input" if kind == "activation" else "output"
        if is_functorch_wrapped_tensor(x):  # where drawing is not possible
            self._see(minima, f"the {side} of {layer}", x, axes, partial(minima.add, layer))
            return
        one = kind == "module"  # one sample and one draw
        place, count = self._drawn[kind], prod(x.shape[axis] for axis in axes)
        self._drawn[kind] += 1
        needed, draws = channels_drawn(self._seed, kind, place, count, 1 if one else DRAWS)
        add = minima.add_first if one else minima.add
        take = partial(add, layer, draws=draws)
        self._see(minima, f"the {side} of {layer}", x, axes, take, needed.to(x.device))

    def _see(
        self,
        minima: "Minima | Moments",
        what: str,
        x: Tensor,
        axes: Sequence[int],
        take: Callable[[Tensor], None],
        needed: Tensor | None = None,
    ) -> None:
        """Pass on `[N, positions, channels]` as soon as the axis of the samples is known."""
        asked = self._samples.ask(x, what, "channels")
        if self._samples.on_trial:
            return
        x = x.detach()
        if needed is not None and len(axes) == 1 and len(needed) < x.shape[axes[0]]:
            x, needed = x.index_select(axes[0], needed), None

        def hand_over(x: Tensor) -> None:
            if asked.found is Without.COMMON:
                return
            if why := asked.why_not(what, axes):
                minima.lost = minima.lost or why
            else:
                rows = asked.rows(x, axes)
                take(rows if needed is None else rows[..., needed])

        self.waiting.take(asked, x, hand_over)


WHERE = {
    "activation_minima": "input of each activation",
    "activation_draws": "input of each activation",
    "layer_draws": "output of each layer",
    "module_minima": "output of each module",
    "module_draws": "output of each module",
}


@lru_cache(maxsize=1024)
def channels_drawn(
    seed: int, kind: str, place: int, count: int, times: int
) -> tuple[Tensor, Tensor]:
    """The channels that are needed, and each draw as indices into those, `[draws, channels]`.

    They depend only on the seed and the position of the layer among those of its kind.

    >>> needed, draws = channels_drawn(0, "layer", 0, 100, 4)
    >>> len(needed) <= 32, draws.shape, int(draws.max()) == len(needed) - 1
    (True, torch.Size([4, 8]), True)
    """
    generator = Generator().manual_seed(derived_seed(seed, kind, place))
    orders = [torch.randperm(count, generator=generator, device="cpu") for _ in range(times)]
    drawn = torch.stack([order[:CHANNELS].sort()[0] for order in orders])
    needed, draws = torch.unique(drawn, return_inverse=True)
    return needed, draws


class Minima:
    """The smallest eigenvalues of correlation matrices, by the name of the layer."""

    def __init__(self) -> None:
        self.layers: list[str] = []
        self.channels: dict[str, int] = {}
        self.lost = ""
        """The reason why not all layers are known per sample; empty if they are."""
        self._products: dict[str, Products] = {}
        self._singular: dict[str, Tensor] = {}

    @property
    def all_singular(self) -> bool:
        """Whether no layer has more positions than channels."""
        return not self._products

    def add(self, layer: str, rows: Tensor, draws: Tensor | None = None) -> None:
        """Add the values of a layer, `[N, positions, channels]`, and its groups of channels."""
        self.layers.append(layer)
        self.channels[layer] = rows.shape[2]
        samples, positions, channels = rows.shape
        if positions <= (channels if draws is None else draws.shape[1]):
            shape = (samples,) if draws is None else (samples, len(draws))
            self._singular[layer] = torch.zeros(shape, dtype=torch.float64, device="cpu")
            return
        products = products_of(rows)
        self._products[layer] = products if draws is None else products.among(draws)

    def add_first(self, layer: str, rows: Tensor, draws: Tensor | None = None) -> None:
        """The same for the first sample only."""
        self.add(layer, rows[:1], draws)

    def found(self) -> dict[str, Tensor]:
        """The smallest eigenvalues by layer, `[N, …]`; equal shapes are decomposed together."""
        sizes: dict[int, list[str]] = defaultdict(list)
        for layer, products in self._products.items():
            sizes[products.squares.shape[-1]].append(layer)
        found = dict(self._singular)
        for layers in sizes.values():
            joined = stacked([self._products[layer] for layer in layers])
            minima = joined.smallest_eigenvalues()
            found |= dict(zip(layers, minima, strict=True))
        return {layer: found[layer] for layer in self.layers}
