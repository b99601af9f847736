"""Recognise attention by its operations: its weights, and the roles of the layers around it.

An attention is a softmax of a product of two signals that is multiplied by a third signal: written
out, as `F.scaled_dot_product_attention`, or as `nn.MultiheadAttention`. The layers from which the
three signals come, without another layer in between, are its query, key and value layers.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import reduce
from inspect import signature
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from foretell.batch import tensors
from foretell.engine.by_tensor import ByTensor
from foretell.engine.observer import Observer, Then
from foretell.engine.observers.activations import activation_input
from foretell.engine.observers.bends import Bend, Taker
from foretell.engine.observers.biases import Ran
from foretell.engine.observers.layer_outputs import Watch
from foretell.engine.observers.moments import Moments
from foretell.engine.observers.samples import Samples, Waiting
from foretell.engine.samples.layers import Layer
from foretell.engine.samples.layout import Without
from foretell.engine.samples.products import product_of
from foretell.engine.subject import Unavailable

__all__ = ["ATTENTION_QUANTITIES", "Attention"]

ATTENTION_QUANTITIES = {
    *("attention_peaks", "attention_maxima", "layer_roles"),
    "feed_forward_moments",
}

NO_ATTENTION = Unavailable(
    "no attention is seen: no softmax of a product of two signals is multiplied with a third"
)

NO_FEED_FORWARD = Unavailable(
    "no feed-forward layer is seen: no layer that widens, an activation function and a layer back "
    "to the width before"
)


@dataclass(frozen=True, eq=False)
class Source:
    """The origin of a signal: the output of `layer`, or of an attention if `layer` is None."""

    name: str = ""
    layer: Layer | None = None

    @property
    def widens(self) -> bool:
        """Whether the source is a layer with more output channels than inputs."""
        return self.layer is not None and self.layer.channels > self.layer.fan_in


@dataclass(frozen=True)
class Trail:
    """The sources of a signal and the operations since the last layer or attention."""

    sources: frozenset[Source] = frozenset()
    bent: frozenset[Source] = frozenset()
    """The sources that are followed by an activation function."""
    similar: bool = False
    """Whether the signal is a product of two signals."""
    peaks: Tensor | None = None
    """For a softmax of such a product, the sum and the number of the largest probabilities."""

    def and_(self, other: "Trail") -> "Trail":
        """The trail of a result that is computed from both signals."""
        peaks = self.peaks if self.peaks is not None else other.peaks
        similar = self.similar or other.similar
        return Trail(self.sources | other.sources, self.bent | other.bent, similar, peaks)


class Attention(Observer, Taker):
    """Within the block, record attentions, their layers, and the feed-forward layers.

    `samples` and `watch` must be active around this observer.
    """

    def __init__(
        self, wanted: set[str], inputs: Iterable[Tensor], samples: Samples, watch: Watch
    ) -> None:
        super().__init__()
        self._wanted = wanted
        self._samples, self._watch = samples, watch
        self._trails = ByTensor((tensor, Trail()) for tensor in inputs)
        self._peaks: dict[str, Tensor] = {}
        self._roles: dict[str, str] = {}
        self._maxima: dict[str, Tensor] = {}
        self._projections: set[Source | str] = set()
        self._numbers: dict[str, Source | str] = {}
        self._ran: dict[str, Ran] = {}
        self._moments, self._widening = Moments(), dict[str, Source]()
        self._first: set[Source] = set()
        self._calls: Counter[str] = Counter()
        self.waiting = Waiting()

    def quantity(self, name: str) -> dict[str, Any] | Unavailable:
        """A quantity by its name, or the reason why it is unavailable."""
        if why := self._why or self._watch.why_unseen():
            return Unavailable(why)
        if name == "feed_forward_moments":
            kept = {
                k: m for k, m in self._moments.layers.items() if self._widening[k] in self._first
            }
            return kept or NO_FEED_FORWARD
        if not self._peaks:
            return NO_ATTENTION
        if name == "attention_peaks":
            return self._peaks
        if name == "layer_roles":
            return self._roles
        maxima = {k: m for k, m in self._maxima.items() if self._numbers[k] in self._projections}
        maxima = {k: self._ran[k].with_bias(m) if k in self._ran else m for k, m in maxima.items()}
        maxima = {k: m.mean(1) for k, m in maxima.items()}
        return maxima or Unavailable("no layer gives the queries, keys or values of the attention")

    def look(
        self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Then | None:
        given = [(t, trail) for t in tensors([args, kwargs]) if (trail := self._trail(t))]
        if not given:
            return None
        bends = activation_input(name, args, kwargs) is not None

        def then(out: Any) -> None:
            outs = tensors(out)
            if not outs:
                return
            trail = self._after(func, name, args, kwargs, outs[0], given)
            if bends:
                trail = replace(trail, bent=trail.sources)
            for tensor in outs:
                self._trails[tensor] = trail

        return then

    def leaves(self, bend: Bend) -> None:
        """Note that an activation function follows the layers that its input comes from."""
        if bend.out is not None and (trail := self._trail(bend.out)) is not None:
            self._trails[bend.out] = replace(trail, bent=trail.sources)

    def _trail(self, tensor: Tensor) -> Trail | None:
        found: Trail | None = self._trails.get(tensor)
        return found

    def _after(
        self,
        func: Any,
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        out: Tensor,
        given: list[tuple[Tensor, Trail]],
    ) -> Trail:
        """The trail of the result of an operation."""
        joined = reduce(Trail.and_, (trail for _, trail in given))
        if func is F.multi_head_attention_forward:
            return self._heads(args, kwargs)
        if name == "scaled_dot_product_attention":
            return self._attended(joined.sources, peaks_of(probabilities(args, kwargs), -1))
        layer = self._watch.layer_at(out)
        if layer is not None:
            return self._layer(layer, joined, out)
        if name in ("softmax", "_softmax") and joined.similar:
            dim = kwargs.get("dim", args[1] if len(args) > 1 else -1)
            return replace(joined, similar=False, peaks=peaks_of(out, -1 if dim is None else dim))
        if name == "exp" and joined.similar:
            self._why = self._why or (
                "the exponential of a product of two signals may be an attention that is written "
                "out; write its softmax as torch.softmax"
            )
        if product_of(func, name, args, kwargs, out) is not None:
            if joined.peaks is not None:
                return self._attended(joined.sources, joined.peaks)
            return replace(joined, similar=len(given) > 1)
        if out.numel() != given[0][0].numel():
            return replace(joined, similar=False, peaks=None)
        return joined

    def _attended(self, sources: frozenset[Source], peaks: Tensor) -> Trail:
        """Record an attention, and the layers of its queries, keys and values."""
        self._peaks[f"attention#{len(self._peaks) + 1}"] = peaks
        for source in sources:
            if source.layer is not None:
                self._roles[source.name] = "projection"
                self._projections.add(source)
        for name in [k for k, one in self._widening.items() if one in sources]:
            self._moments.layers.pop(name, None)  # to free memory
        return Trail(frozenset({Source()}))

    def _layer(self, ran: Ran, given: Trail, out: Tensor) -> Trail:
        """Record a layer, and its role if its input determines it."""
        layer, name = ran.layer, ran.name
        source = Source(name, layer)
        first = given.sources
        if first and all(one.layer is None for one in first):
            self._roles[name] = "output"
        elif given.bent and all(one.widens and narrows(one, layer) for one in first):
            self._first |= first
            self._roles |= dict.fromkeys((*(one.name for one in first), name), "feed-forward")
        called = self._unique(name)
        self._numbers[called] = source
        self._ran[called] = ran
        self._maximum(called, out, layer.channel_axes)
        if source.widens and "feed_forward_moments" in self._wanted:
            self._spread(called, source, out)
        return Trail(frozenset({source}))

    def _heads(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Trail:
        """Record nn.MultiheadAttention with its query, key, value and output projections."""
        bound = signature(F.multi_head_attention_forward).bind(*args, **kwargs)
        bound.apply_defaults()
        own = bound.arguments
        names = {id(weight): name for name, weight in self._watch.weights.items()}
        inside = projections(own)
        for source, weight, bias, rows in inside:
            if (name := names.get(id(weight))) is not None:
                self._roles[name] = "projection"
                self._projections.add(name)
                out = F.linear(source.detach(), weight.detach()[rows], bias)
                self._samples.cut(out, source)
                called = self._unique(name)
                self._numbers[called] = name
                self._maximum(called, out, (out.ndim - 1,))
        if (name := names.get(id(own["out_proj_weight"]))) is not None:
            self._roles[name] = "output"
        own |= {"need_weights": True, "average_attn_weights": False}
        own |= {"training": False, "dropout_p": 0.0}
        with torch.no_grad():
            shares = F.multi_head_attention_forward(*bound.args, **bound.kwargs)[1]
        assert shares is not None
        self._peaks[f"attention#{len(self._peaks) + 1}"] = peaks_of(shares, -1)
        return Trail()

    def _unique(self, name: str) -> str:
        self._calls[name] += 1
        return name if self._calls[name] == 1 else f"{name}#{self._calls[name]}"

    def _maximum(self, layer: str, out: Tensor, axes: tuple[int, ...]) -> None:
        """Record the largest output of each sample and channel."""
        asked = self._samples.ask(out, layer, "attention")
        if self._samples.on_trial:
            return

        def take(x: Tensor) -> None:
            if asked.found is not Without.COMMON and not asked.why_not(layer, axes):
                rows = asked.rows(x, axes).double()
                self._maxima[layer] = rows.amax(1)

        self.waiting.take(asked, out.detach(), take)

    def _spread(self, called: str, source: Source, out: Tensor) -> None:
        """Record the moments of the output of a layer that widens."""
        assert source.layer is not None
        axes = source.layer.channel_axes
        asked = self._samples.ask(out, called, "feed-forward")
        if self._samples.on_trial:
            return
        self._widening[called] = source

        def take(x: Tensor) -> None:
            known = asked.found is not Without.COMMON and not asked.why_not(called, axes)
            if known and source not in self._projections:
                self._moments.add(called, asked.rows(x, axes))

        self.waiting.take(asked, out.detach(), take)


def narrows(first: Source, second: Layer) -> bool:
    """Whether the second layer restores the width of the first layer's input."""
    return first.layer is not None and first.layer.fan_in == second.channels


def peaks_of(shares: Tensor, dim: int) -> Tensor:
    """The sum and the number of the largest probabilities along an axis, except rows without a key.

    >>> peaks_of(torch.tensor([[0.5, 0.5], [0.0, 1.0]]), -1)
    tensor([1.5000, 2.0000], dtype=torch.float64)
    """
    largest = shares.detach().double().amax(dim)
    number = largest.isfinite().sum().double()
    return torch.stack([largest.nan_to_num().sum(), number]).cpu()


def probabilities(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """The attention probabilities of a call of F.scaled_dot_product_attention."""
    names = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
    bound = dict(zip(names, args, strict=False)) | kwargs
    query, key = bound["query"].detach(), bound["key"].detach()
    if bound.get("enable_gqa"):
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], -3)
    scale = bound.get("scale") or query.shape[-1] ** -0.5
    similar = query @ key.mT * scale
    mask = bound.get("attn_mask")
    if bound.get("is_causal"):
        mask = torch.ones(similar.shape[-2:], dtype=torch.bool, device=similar.device).tril()
    if mask is not None and mask.dtype == torch.bool:
        similar = similar.masked_fill(~mask, -torch.inf)
    elif mask is not None:
        similar = similar + mask.detach()
    shares: Tensor = similar.softmax(-1)
    return shares


def projections(own: dict[str, Any]) -> list[tuple[Tensor, Tensor, Tensor | None, slice]]:
    """The input, weight, bias and rows of each projection of nn.MultiheadAttention."""
    size = own["embed_dim_to_check"]
    parts = [slice(place * size, (place + 1) * size) for place in range(3)]
    bias = own["in_proj_bias"]
    biases = [None if bias is None else bias.detach()[rows] for rows in parts]
    weights = [own["in_proj_weight"]] * 3
    if own["use_separate_proj_weight"]:
        weights = [own[f"{one}_proj_weight"] for one in "qkv"]
        parts = [slice(None)] * 3
    given = [own[one] for one in ("query", "key", "value")]
    return list(zip(given, weights, biases, parts, strict=True))
