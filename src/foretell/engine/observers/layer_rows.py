"""What comes out of layers, normalisations and activations: a few rows of each, for its rank."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from foretell.engine.observer import Observer, Then
from foretell.engine.observers.activations import activation_input, plain_name
from foretell.engine.observers.channel_axes import ChannelAxes
from foretell.engine.observers.weighted import weight_used
from foretell.engine.operations import NORMS
from foretell.engine.subject import Unavailable
from foretell.seeds import derived_seed

__all__ = ["ROW_QUANTITIES", "LayerRows"]

ROW_QUANTITIES = {"layer_rows"}

WITH_WEIGHTS = NORMS - {F.local_response_norm}


class LayerRows(Observer):
    """Within the block, notes c consecutive rows of each output of c channels.

    A row is a position of a sample. Of maps, the rows of a sample are taken column by column, and
    the first row noted is the start of a column, drawn by the seed and the layer's place. `start`
    is the place of the part's first sample among all `total` ones.
    """

    def __init__(
        self,
        weights: dict[str, Tensor],
        inputs: Iterable[Tensor],
        samples: int,
        seed: int,
        *,
        start: int,
        total: int,
        only_these: bool = False,
    ) -> None:
        super().__init__()
        self._names = {id(weight): name for name, weight in weights.items()}
        self._axes = ChannelAxes(inputs)
        self._samples, self._seed, self._only_these = samples, seed, only_these
        self._start, self._total = start, total
        self._calls: Counter[str] = Counter()
        self._rows: dict[str, Tensor] = {}
        self._why = ""
        self._needed = 0
        """The number of samples that a layer needs if `_why` says that there are too few."""

    def quantity(self, name: str) -> dict[str, Tensor] | Unavailable:
        """`layer_rows`, or why it does not exist."""
        if self._why:
            return Unavailable(self._why)
        if not self._rows:
            return Unavailable("no layer, normalisation or activation of this model is seen")
        return self._rows

    def look(
        self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Then | None:
        bends = activation_input(name, args, kwargs) is not None

        def then(out: Any) -> None:
            self._axes.note(func, name, args, kwargs, out)
            weight = weight_used(func, name, args, kwargs, self._names, only_these=self._only_these)
            if bends or weight is not None or func in WITH_WEIGHTS:
                layer = self._names.get(id(weight), plain_name(name))
                steps_first = func is F.multi_head_attention_forward
                self._take(layer, out[0] if isinstance(out, tuple) else out, steps_first)

        return then

    def _take(self, layer: str, output: Tensor, steps_first: bool) -> None:
        """Note the rows of an output that are drawn and belong to this part of the batch."""
        axis = self._axes.of(output)
        if axis is None:
            return
        place = self._calls.total()
        self._calls[layer] += 1
        layer = layer if self._calls[layer] == 1 else f"{layer}#{self._calls[layer]}"
        x = output.detach()
        column = x.shape[-1]
        steps_first |= x.shape[0] != self._samples and x.shape[1] == self._samples
        if x.ndim == 3 and steps_first:
            x = x.transpose(0, 1)
        if len(x) % self._samples:
            why = f"{layer} has {len(x)} rows for {self._samples} samples"
            self._needed, self._why = 0, f"{why}, and which are a sample's is not known"
            return
        rows = x.transpose(axis, -1).reshape(-1, x.shape[axis])
        each, channels = len(rows) // self._samples, rows.shape[1]
        if each * self._total < channels:
            self._too_few(layer, each, channels)
            return
        first = drawn(self._seed, place, (each * self._total - channels) // column + 1) * column
        before = self._start * each
        self._rows[layer] = rows[max(0, first - before) : max(0, first + channels - before)].clone()

    def _too_few(self, layer: str, each: int, channels: int) -> None:
        """Note a layer with too few rows, unless another one needs more samples."""
        needed = -(-channels // each)
        if needed > self._needed and (self._needed or not self._why):
            self._needed = needed
            self._why = (
                f"{layer} has {each * self._total} rows of {channels} channels in this batch, too "
                f"few for full rank; give at least {needed} samples"
            )


def drawn(seed: int, place: int, count: int) -> int:
    """A number below `count`, by the seed and the place of a layer.

    >>> drawn(0, 0, 1)
    0
    """
    generator = Generator().manual_seed(derived_seed(seed, "rows", place))
    return int(torch.randint(count, (1,), generator=generator))
