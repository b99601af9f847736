"""Record a few rows of the outputs of layers, normalisations and activations, for their rank."""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from foretell.batch import tensors
from foretell.engine.observer import Observer, Then
from foretell.engine.observers.activations import CASTS, plain_name
from foretell.engine.observers.bends import Bend, Taker, bare
from foretell.engine.observers.biases import Ran
from foretell.engine.observers.channel_axes import ChannelAxes
from foretell.engine.observers.layer_outputs import Watch
from foretell.engine.observers.samples import Question, Samples, Waiting
from foretell.engine.observers.written_norms import WrittenNorms, is_normal
from foretell.engine.operations import ARITHMETIC, NORMS
from foretell.engine.samples.layout import Layout, Without
from foretell.engine.subject import Unavailable
from foretell.seeds import derived_seed

__all__ = ["ROW_QUANTITIES", "LayerRows"]

ROW_QUANTITIES = {"layer_rows"}

WITH_WEIGHTS = NORMS - {F.local_response_norm}


class LayerRows(Observer, Taker):
    """Within the block, record c consecutive rows of each output with c channels.

    A row is a position of a sample. The positions of a map are ordered column by column, and the
    first recorded row is the start of a column, which is drawn by the seed and the layer's
    position. `samples` and `watch` must be active around this observer. `start` is the position of
    the part's first sample among all `total` samples.
    """

    def __init__(
        self,
        inputs: Iterable[Tensor],
        samples: Samples,
        watch: Watch,
        seed: int,
        *,
        start: int,
        total: int,
    ) -> None:
        super().__init__()
        self._axes = ChannelAxes(inputs)
        self._samples, self._watch, self._seed = samples, watch, seed
        self._start, self._total = start, total
        self._calls: Counter[str] = Counter()
        self._rows: dict[str, Tensor] = {}
        self._ran: dict[str, Ran] = {}
        self._norms = WrittenNorms()
        self._normed: Tensor | None = None
        """The output of a normalisation that is written out, and may still be scaled."""
        self._needed = 0
        """The number of samples that a layer needs, if `_why` says that there are too few."""
        self.waiting = Waiting()

    def quantity(self, name: str) -> dict[str, Tensor] | Unavailable:
        """`layer_rows`, or the reason why it is unavailable."""
        if why := self._why or self._watch.why_layers_unseen():
            return Unavailable(why)
        if not self._rows:
            return Unavailable("no layer, normalisation or activation of this model is seen")
        return {
            layer: self._ran[layer].with_bias(rows) if layer in self._ran else rows
            for layer, rows in self._rows.items()
        }

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)
        with torch._C.DisableTorchFunction():
            self._see_normed()

    def leaves(self, bend: Bend) -> None:
        """Record the output of an activation."""
        axis = None if bend.out is None else self._axes.of(bend.out)
        if bend.out is not None and axis is not None:
            self._see(bend.name, bend.out, [axis])

    def look(
        self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Then | None:
        scaled = self._normed is not None and self._scales(name, args, kwargs)
        normed = self._norms.divided(name, args) is not None

        def then(out: Any) -> None:
            output = next(iter(tensors(out)), None)
            self._norms.note(name, args, out)
            if output is not None and (
                scaled or (normed and is_normal(output, self._norms.root(args)))
            ):
                self._normed = output
            found = None if output is None else self._watch.layer_at(output)
            self._axes.note(func, name, args, kwargs, out, found.layer if found else None)
            if output is None or (found is None and func not in WITH_WEIGHTS):
                return
            axis = self._axes.of(output)
            if found is not None and not self._axes.is_apart(output):
                self._see(found.name, output, found.layer.channel_axes, found)
            elif found is None and axis is not None:
                self._see(plain_name(name), output, [axis])

        return then

    def _scales(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Whether an operation scales or shifts a normalised signal; any other one records it."""
        given = tensors([args, kwargs])
        signals = [x for x in given if self._samples.of(x) is not Without.COMMON]
        if not signals:
            return False
        own = len(signals) == 1 and signals[0] is self._normed
        if own and bare(name) in ARITHMETIC | CASTS:
            return True
        self._see_normed()
        return False

    def _see_normed(self) -> None:
        """Record the output of a normalisation that is written out."""
        output, self._normed = self._normed, None
        axis = None if output is None else self._axes.of(output)
        if output is not None and axis is not None:
            self._see("norm", output, [axis])

    def _see(self, layer: str, output: Tensor, axes: Sequence[int], ran: Ran | None = None) -> None:
        """Record the rows of an output as soon as the axis of the samples is known."""
        place = self._calls.total()
        self._calls[layer] += 1
        layer = layer if self._calls[layer] == 1 else f"{layer}#{self._calls[layer]}"
        asked = self._samples.ask(output, layer, "rows")
        if self._samples.on_trial:
            return
        if ran is not None:
            self._ran[layer] = ran
        take = partial(self._take, layer, place, asked, axes)
        self.waiting.take(asked, output.detach(), take)

    def _take(
        self, layer: str, place: int, asked: Question, axes: Sequence[int], x: Tensor
    ) -> None:
        """Record the drawn rows of an output that belong to this part of the batch."""
        if asked.found is Without.COMMON:
            return
        if why := asked.why_not(f"the output of {layer}", axes):
            self._needed, self._why = 0, why
            return
        assert asked.layout is not None
        rows, column = by_columns(x, asked.layout, asked.samples, axes)
        each, channels = len(rows) // asked.samples, rows.shape[1]
        if each * self._total < channels:
            self._too_few(layer, each, channels)
            return
        first = drawn(self._seed, place, (each * self._total - channels) // column + 1) * column
        before = self._start * each
        self._rows[layer] = rows[max(0, first - before) : max(0, first + channels - before)].clone()

    def _too_few(self, layer: str, each: int, channels: int) -> None:
        """Record a layer with too few rows, unless another one needs more samples."""
        needed = -(-channels // each)
        if needed > self._needed and (self._needed or not self._why):
            self._needed = needed
            self._why = (
                f"{layer} has {each * self._total} rows of {channels} channels in this batch, too "
                f"few for full rank; give at least {needed} samples"
            )


def by_columns(x: Tensor, layout: Layout, samples: int, axes: Sequence[int]) -> tuple[Tensor, int]:
    """`[samples · positions, channels]`, and the number of rows between those that may be first.

    The positions of a map are ordered column by column, on whichever axes they and the channels
    are. The first row is the start of a column of a map, or any c-th one of a sequence of vectors.
    """
    sizes = [size for axis, size in enumerate(x.shape) if axis not in (layout.axis, *axes)]
    if x.shape[layout.axis] == samples:
        rows = layout.rows(x, samples, axes).contiguous()
        if len(sizes) < 2 or len(axes) > 1:
            return rows.flatten(0, 1), rows.shape[2]
        maps = rows.view(samples, *sizes, -1).movedim(len(sizes), 1)
        return maps.flatten(0, -2), sizes[-1]
    column = x.shape[-1]
    if len(axes) == 1:
        last = x.ndim - 1
        x = x.transpose(axes[0], last)
        layout, axes = layout.at(axes[0]) if layout.axis == last else layout, [last]
    return layout.rows(x, samples, axes).flatten(0, 1), column


def drawn(seed: int, place: int, count: int) -> int:
    """A random integer below `count` that depends on the seed and the position of a layer.

    >>> drawn(0, 0, 1)
    0
    """
    generator = Generator().manual_seed(derived_seed(seed, "rows", place))
    return int(torch.randint(count, (1,), generator=generator, device="cpu"))
