"""Correlate the samples by the input of each activation, and by the gradient with respect to it."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, get_gradient_edge

from foretell.batch import main_output
from foretell.engine.failures import Inexact
from foretell.engine.observers.bends import Bend, Taker
from foretell.engine.observers.samples import Question, Samples, Waiting
from foretell.engine.operations import origin
from foretell.engine.subject import Unavailable, edge_gradients
from foretell.errors import Undefined

__all__ = ["RESPONSE_QUANTITIES", "Responses", "correlated", "rows_of_both"]

RESPONSE_QUANTITIES = {"response_correlations"}


@dataclass(eq=False)
class Response:
    """The input of one activation, with rows that are centred and scaled to length 1."""

    asked: Question
    edge: GradientEdge | None
    """The edge of the graph at which its gradient arrives; None if it has none."""
    of_input: Tensor | None = None
    """`[N, units]`, or the correlations of the rows, `[N, N]`."""
    of_gradient: Tensor | None = None

    def both(self) -> Tensor:
        """Both together; zeros for a gradient that does not arrive."""
        assert self.of_input is not None
        none = torch.zeros_like(self.of_input)
        return torch.stack([self.of_input, none if self.of_gradient is None else self.of_gradient])


class Responses(Taker):
    """Records the correlations of samples in the input of each activation.

    The rows themselves are kept only if the batch is run in parts, and are correlated at the end.
    """

    def __init__(self, samples: Samples, *, in_parts: bool) -> None:
        self._in_parts = in_parts
        self._samples = samples
        self._responses: list[Response] = []
        self.waiting = Waiting()

    def enters(self, bend: Bend) -> None:
        """Record the input of an activation."""
        name, x = bend.name, bend.x
        asked = self._samples.ask(x, name, "responses")
        if self._samples.on_trial:
            return
        tapped = origin(x) if bend.overwritten else x
        if bend.overwritten and tapped is x and x._is_view():
            self._why = self._why or f"the input of `{name}` is a view that it overwrites"
        if not bend.graded:  # possibly in a function with a custom derivative
            self._why = (
                self._why
                or f"the gradient with respect to the input of `{name}` cannot be observed"
            )
        response = Response(asked, get_gradient_edge(tapped) if x.requires_grad else None)
        self._responses.append(response)
        self._take(response, "of_input", x.detach())

    def _take(self, response: Response, which: str, x: Tensor) -> None:
        """Record the correlations of an input or gradient once the axis of the samples is known."""
        asked = response.asked

        def take(x: Tensor) -> None:
            if asked.lost:
                name = f"the input of `{asked.about}`"
                self._why = self._why or asked.undivided(name, "activation")
            elif asked.layout is not None:
                rows = asked.layout.by_sample(x, asked.samples).flatten(1)
                unit = unit_rows(rows)
                setattr(response, which, unit if self._in_parts else unit @ unit.T)

        self.waiting.take(asked, x, take)

    def differentiate(self, outputs: Any, *, keep_graph: bool) -> None:
        """Differentiate the summed main output with respect to each input that it depends on."""
        try:
            output = main_output(outputs).sum()
            reached = [one for one in self._responses if one.edge and output.requires_grad]
            edges = [one.edge for one in reached if one.edge]
            grads = edge_gradients(output, edges, keep_graph=keep_graph) if edges else ()
        except Undefined as error:
            self._why = self._why or str(error)
            return
        for one, grad in zip(reached, grads, strict=True):
            if grad is not None:
                self._take(one, "of_gradient", grad.reshape(one.asked.shape))

    def quantity(self, name: str) -> list[Tensor] | Unavailable:
        """`response_correlations`, or for a part its rows; or why they are unavailable."""
        if why := self._why or self._samples.unseen:
            return Unavailable(why)
        seen = [one.both() for one in self._responses if one.of_input is not None]
        return seen or Unavailable("no operation of this model is an activation function")


def unit_rows(rows: Tensor) -> Tensor:
    """The rows, centred and scaled to length 1 in float64: their products are correlations.

    A constant row becomes nan.

    >>> rows = unit_rows(torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]))
    >>> (rows @ rows.T).round()
    tensor([[ 1., -1.],
            [-1.,  1.]], dtype=torch.float64)
    """
    centred = rows.double() - rows.double().mean(1, keepdim=True)
    unit: Tensor = centred / centred.norm(dim=1, keepdim=True)
    return unit.cpu()


def rows_of_both(so_far: list[Tensor], value: list[Tensor]) -> list[Tensor]:
    """Join the rows of two parts of a batch. Raises Inexact if their activations differ."""
    if [x.shape[2] for x in so_far] != [x.shape[2] for x in value]:
        raise Inexact("the model does not run the same activations for each sample")
    return [torch.cat(pair, dim=1) for pair in zip(so_far, value, strict=True)]


def correlated(rows: list[Tensor]) -> list[Tensor]:
    """Compute `response_correlations` from the rows of all parts."""
    return [both @ both.mT for both in rows]
