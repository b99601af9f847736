"""Finds the biases that a model adds to the outputs of layers by operations of its own.

The output of a layer includes its bias, whether the layer adds it or the model does so afterwards,
perhaps to the rearranged output: the layer and `F.linear(x, w).view(n, 4, 3) + b.view(4, 3)` have
the same output. What is added to an output that is used elsewhere as well is not its bias.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import prod
from typing import Any

import torch
from torch import Tensor

from foretell.batch import tensors
from foretell.engine.by_tensor import ByTensor
from foretell.engine.observer import Then
from foretell.engine.observers.channel_axes import PERMUTES, RESHAPES
from foretell.engine.observers.samples import Samples
from foretell.engine.operations import REARRANGEMENTS, words
from foretell.engine.samples.layers import Layer
from foretell.engine.samples.layout import Without

__all__ = ["Biases", "Ran"]

Move = Callable[[Tensor], Tensor]
"""An operation that only rearranges a tensor."""

MOVES = REARRANGEMENTS | RESHAPES | PERMUTES

EITHER_TERM = words("add __add__ __radd__")
"""Sums of which each term may be the output."""

FIRST_TERM = words(
    "add_ __iadd__ sub __sub__ sub_ __isub__ subtract subtract_ addcmul addcmul_ addcdiv addcdiv_"
)
"""Operations that add something to their first argument or subtract something from it."""


@dataclass(eq=False)
class Ran:
    """A layer that ran, the name of its weight, and the bias that was added to it afterwards."""

    layer: Layer
    name: str
    bias: Tensor | None = None
    """`[channels]`"""
    complete: bool = False
    """Whether nothing that follows belongs to the bias."""

    def with_bias(self, values: Tensor) -> Tensor:
        """The values, whose last axis is that of the channels, with the bias."""
        return values if self.bias is None else values + self.bias.to(values)


@dataclass(eq=False)
class Form:
    """The output of a layer, perhaps rearranged, and what was added to it so far."""

    ran: Ran
    shape: Sequence[int]
    moves: tuple[Move, ...] = ()
    bias: Tensor | None = None
    used: bool = False

    def channels(self) -> Tensor:
        """The number of its channel at each place of the tensor."""
        axes = self.ran.layer.channel_axes
        own = [size if axis in axes else 1 for axis, size in enumerate(self.shape)]
        numbers = torch.arange(prod(own), device="cpu").view(own).expand(*self.shape)
        for move in self.moves:
            numbers = move(numbers)
        return numbers

    def for_each_channel(self, added: Tensor) -> Tensor | None:
        """The number that was added to each channel; None if a channel has several."""
        places = self.channels().to(added.device)
        each = added.new_zeros(self.ran.layer.channels)
        each[places.flatten()] = added.flatten()
        return each if torch.equal(each[places], added) else None


@dataclass(eq=False)
class Biases:
    """Follows the outputs of layers until they are used otherwise than with a bias."""

    samples: Samples
    _forms: ByTensor[Form] = field(default_factory=ByTensor)

    def start(self, output: Tensor, ran: Ran) -> None:
        """Follow the output of a layer."""
        if output.is_floating_point() and output.layout == torch.strided:
            self._forms[output] = Form(ran, output.shape)

    def look(
        self,
        func: Any,
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        values: Sequence[Tensor],
    ) -> Then | None:
        """What takes in the result of an operation on an output; None for any other operation."""
        given = [(x, form) for x in values if (form := self._forms.get(x)) is not None]
        if not given:
            return None

        def then(out: Any) -> None:
            if not any(tensor.requires_grad for tensor in tensors(out)):
                return
            for _, form in given:
                use(form)
            (x, form), *others = given
            common = all(self.samples.of(y) is Without.COMMON for y in values if y is not x)
            if isinstance(out, Tensor) and common and not others and not form.ran.complete:
                self._continue(partial(called, func, args, kwargs, x), name, args, x, form, out)

        return then

    def _continue(
        self,
        run: Move,
        name: str,
        args: tuple[Any, ...],
        x: Tensor,
        form: Form,
        out: Tensor,
    ) -> None:
        """Follow the result of an operation if it is the output rearranged or with a bias."""
        first = bool(args) and args[0] is x
        if first and name in MOVES and out.numel() == x.numel():
            self._forms[out] = Form(form.ran, form.shape, (*form.moves, run), form.bias)
        if name not in EITHER_TERM | FIRST_TERM or not (first or name in EITHER_TERM):
            return
        with torch.no_grad():
            added = form.for_each_channel(run(torch.zeros_like(x)))
        if added is not None:
            form.ran.bias = added if form.bias is None else form.bias + added
            self._forms[out] = Form(form.ran, form.shape, form.moves, form.ran.bias)


def use(form: Form) -> None:
    """Note that an output is used; if it was before, what was added to it then is not its bias."""
    if form.used and not form.ran.complete:
        form.ran.bias, form.ran.complete = form.bias, True
    form.used = True


def called(
    func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], x: Tensor, instead: Tensor
) -> Any:
    """The result of an operation with another tensor in the place of `x`."""
    return func(*(instead if arg is x else arg for arg in args), **kwargs)
