"""How alike the samples are in what goes into each activation, and in the gradient by it."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, get_gradient_edge

from foretell.batch import main_output
from foretell.engine.observer import Observer, Then
from foretell.engine.observers.activations import activation_input, plain_name
from foretell.engine.observers.samples import Question, Samples, Waiting
from foretell.engine.operations import in_place, origin
from foretell.engine.subject import Unavailable, edge_gradients
from foretell.errors import Undefined

__all__ = ["RESPONSE_QUANTITIES", "Responses"]

RESPONSE_QUANTITIES = {"response_correlations"}


@dataclass(eq=False)
class Response:
    """What goes into one activation, and the correlations between samples."""

    asked: Question
    edge: GradientEdge | None
    """Where its gradient arrives; None if it has none."""
    of_input: Tensor | None = None
    of_gradient: Tensor | None = None

    def both(self) -> Tensor:
        """`[2, N, N]`; zeros for a gradient that does not arrive."""
        assert self.of_input is not None
        none = torch.zeros_like(self.of_input)
        return torch.stack([self.of_input, none if self.of_gradient is None else self.of_gradient])


class Responses(Observer):
    """Within the block, records the correlations between samples of each activation's input."""

    def __init__(self, samples: Samples) -> None:
        super().__init__()
        self._samples = samples
        self._responses: list[Response] = []
        self._why = ""
        self.waiting = Waiting()

    def look(
        self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Then | None:
        x = activation_input(name, args, kwargs)
        if x is not None:  # before it runs: it may overwrite its input
            if x is not args[0]:
                self._samples.cut(x, args[0])
            overwritten = in_place(name, args, kwargs)
            self._note(plain_name(name), x, overwritten=overwritten)
        return None

    def _note(self, name: str, x: Tensor, *, overwritten: bool) -> None:
        asked = self._samples.ask(x, name, "responses")
        if self._samples.on_trial:
            return
        tapped = origin(x) if overwritten else x
        if overwritten and tapped is x and x._is_view():
            self._why = self._why or f"the input of `{name}` is a view that it overwrites"
        response = Response(asked, get_gradient_edge(tapped) if x.requires_grad else None)
        self._responses.append(response)
        self._take(response, "of_input", x.detach())

    def _take(self, response: Response, which: str, x: Tensor) -> None:
        """Record the correlations of an input or a gradient once it is known where samples are."""
        asked = response.asked

        def take(x: Tensor) -> None:
            if asked.lost:
                name = f"the input of `{asked.about}`"
                self._why = self._why or asked.undivided(name, "activation")
            elif asked.layout is not None:
                rows = asked.layout.by_sample(x, asked.samples).flatten(1)
                setattr(response, which, correlations(rows.double()))

        self.waiting.take(asked, x, take)

    def differentiate(self, outputs: Any, *, keep_graph: bool) -> None:
        """Take the gradient of the summed main output by each input that it depends on."""
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
        """`response_correlations`, or why they are unavailable."""
        if why := self._why or self._samples.unseen:
            return Unavailable(why)
        seen = [one.both() for one in self._responses if one.of_input is not None]
        return seen or Unavailable("no operation of this model is an activation function")


def correlations(rows: Tensor) -> Tensor:
    """Pearson's correlations of the rows; nan for those of a row that is constant.

    >>> correlations(torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])).round()
    tensor([[ 1., -1.],
            [-1.,  1.]])
    """
    centred = rows - rows.mean(1, keepdim=True)
    unit = centred / centred.norm(dim=1, keepdim=True)
    similar: Tensor = unit @ unit.T
    return similar.cpu()
