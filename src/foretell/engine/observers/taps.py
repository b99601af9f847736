"""The tapped output of a layer, and its Taylor terms for each sample and channel."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from foretell.engine.observers.biases import Ran
from foretell.engine.observers.samples import Question
from foretell.engine.samples.layers import Layer
from foretell.engine.samples.layout import Without

__all__ = ["Made", "Tap"]


@dataclass(frozen=True)
class Made:
    """The name of the weight that a tensor is or is computed from."""

    name: str
    summary: bool = False
    """Whether the tensor is a norm or a mean of a weight, which can only scale other values."""
    tables: tuple[Question, ...] = ()
    """Open questions about layers on the way: if one has an output per sample, it is no weight."""

    @property
    def is_weight(self) -> bool:
        """Whether the tensor counts as a weight; valid once the questions are answered."""
        return not any(asked.layout or asked.lost for asked in self.tables)


@dataclass(eq=False)
class Tap:
    """The output of a layer and, after the backward pass, its Taylor terms."""

    name: str
    value: Tensor
    version: int
    ran: Ran
    asked: Question
    route: int
    weight: Made
    product: Tensor | None = None
    """a · ∂L/∂a, summed per sample and channel once the axis of the samples is known."""
    reduced: bool = False
    overwritten: bool = False
    states: "Tap | None" = None
    """The last states that a recurrent layer returns, which are part of its output."""

    def receive(self, grad: Tensor) -> None:
        """Receive ∂L/∂a and keep a · ∂L/∂a, summed over positions to `[N, C]` if possible."""
        self.overwritten |= self.value._version != self.version
        if self.overwritten:
            return
        # in float32 at least: half precision would lose the sum over positions
        kind = torch.promote_types(grad.dtype, torch.float32)
        product = self._with_bias(self.value.to(kind)) * grad.detach()
        self.reduced = not self.why_lost()
        self.product = self._by_sample(product) if self.reduced else product
        del self.value

    @property
    def layer(self) -> Layer:
        """The layer itself."""
        return self.ran.layer

    def _with_bias(self, output: Tensor) -> Tensor:
        """The output with the bias that was added to it afterwards, which has the same gradient."""
        axes = self.layer.channel_axes
        last = tuple(range(-len(axes), 0))
        rows = output.movedim(axes, last)
        shape = (*rows.shape[: rows.ndim - len(axes)], self.layer.channels)
        whole = self.ran.with_bias(rows.reshape(shape))
        return whole.view(rows.shape).movedim(last, axes)

    def _by_sample(self, product: Tensor) -> Tensor:
        """The sum of a product over positions, `[N, C]`."""
        return self.asked.rows(product, self.layer.channel_axes).sum(1)

    def terms(self) -> Tensor:
        """The Taylor terms; zeros if the loss does not depend on this output."""
        if self.product is None:
            terms = self.value.new_zeros(self.asked.samples, self.layer.channels)
        else:
            terms = self.product if self.reduced else self._by_sample(self.product)
        return terms if self.states is None else terms + self.states.terms()

    @property
    def fan_in(self) -> int:
        """The number of weights per output channel."""
        return self.layer.fan_in

    @property
    def counts(self) -> bool:
        """Whether the layer has an output per sample; valid once the question is answered."""
        return self.weight.is_weight and self.asked.found is not Without.COMMON

    @property
    def kind(self) -> tuple[object, ...]:
        """A key that is equal for all parts of a batch that run the same layers."""
        return self.name, self.route, math.prod(self.asked.shape) // self.asked.samples

    def why_lost(self) -> str:
        """The reason why the terms are not known per sample; empty if they are."""
        states = self.states
        used = states is not None and (states.overwritten or states.product is not None)
        if used and states is not None and (why := states.why_lost()):
            return why
        output = f"the output of {self.weight.name}"
        if why := self.asked.why_not(output, self.layer.channel_axes):
            return why
        if self.overwritten:
            return f"the output of {self.name} was overwritten before it could be read"
        return ""
