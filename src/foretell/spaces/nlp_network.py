"""The language models of NAS-Bench-NLP.

Klyuchnikov et al. 2020, arXiv:2006.07116: an embedding, layers that apply one recurrent cell to
all time steps, and a linear decoder, as in AWD-LSTM (Merity et al. 2017, arXiv:1708.02182). The
loop over time is written out in basic operations, so that proxies can observe each of them.
"""

import itertools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from foretell.seeds import derived_seed
from foretell.spaces.initialise import Embedding, Linear
from foretell.spaces.nlp_recipe import Recipe, state_count

__all__ = ["fill", "network"]

_RANGE = 0.1  # of the initial weights of the embedding and the decoder


def network(
    recipe: Recipe,
    *,
    vocabulary: int,
    embedding: int,
    hidden: int,
    layers: int,
    dropout: float,
    tied: bool,
) -> nn.Module:
    """The model in training mode with uninitialised weights; `recipe` is in execution order."""
    widths = [embedding] + [hidden] * layers
    if tied:
        widths[-1] = embedding
    return _LanguageModel(recipe, vocabulary, widths, dropout, tied)


def fill(model: nn.Module, seed: int) -> None:
    """Initialise every weight in place, with numbers that depend on the seed and its name.

    As in the benchmark, the weights of cells are uniform within +-1/sqrt(width of the states), and
    those of the embedding and the decoder within +-0.1; the bias of the decoder is zero.
    """
    generator = Generator()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name == "decoder.bias":
                parameter.zero_()
                continue
            bound = len(parameter) ** -0.5 if name.startswith("layers.") else _RANGE
            generator.manual_seed(derived_seed(seed, name))
            drawn = torch.empty(parameter.shape, dtype=torch.float32)
            parameter.copy_(drawn.uniform_(-bound, bound, generator=generator))


class _LanguageModel(nn.Module):
    """Token ids [batch, time] -> logits [batch, time, vocabulary]."""

    def __init__(
        self, recipe: Recipe, vocabulary: int, widths: list[int], dropout: float, tied: bool
    ) -> None:
        super().__init__()
        self.encoder = Embedding(vocabulary, widths[0])
        self.layers = nn.ModuleList(
            _Layer(recipe, wide_in, wide) for wide_in, wide in itertools.pairwise(widths)
        )
        self.decoder = Linear(widths[-1], vocabulary)
        if tied:
            self.decoder.weight = self.encoder.weight
        self.dropout = dropout

    def forward(self, ids: Tensor) -> Tensor:
        steps = self._dropped(list(self.encoder(ids).unbind(1)))
        for layer in self.layers:
            steps = self._dropped(layer(steps))
        logits: Tensor = self.decoder(torch.stack(steps, dim=1))
        return logits

    def _dropped(self, steps: list[Tensor]) -> list[Tensor]:
        """Dropout with one mask for all time steps (Gal & Ghahramani 2016, arXiv:1512.05287)."""
        if not (self.training and self.dropout):
            return steps
        first = steps[0]
        ones = torch.ones(first.shape, dtype=first.dtype, device=first.device)
        mask = F.dropout(ones, self.dropout)
        return [step * mask for step in steps]


class _Layer(nn.Module):
    """A cell that maps each time step, [batch, wide_in] to [batch, wide]; states start at zero.

    A linear node has one matrix per input, and one bias, which is part of the first of them. The
    time steps remain separate tensors between layers: the flow of synflow can differ so much
    between time steps that one tensor with a single exponent cannot represent all of them.
    """

    def __init__(self, recipe: Recipe, wide_in: int, wide: int) -> None:
        super().__init__()
        self.recipe = recipe
        self.wide = wide
        self.linear = nn.ModuleDict(
            {
                name: nn.ModuleList(
                    Linear(wide_in if source == "x" else wide, wide, bias=not place)
                    for place, source in enumerate(node.inputs)
                )
                for name, node in recipe.items()
                if node.operation == "linear"
            }
        )

    def forward(self, steps: list[Tensor]) -> list[Tensor]:
        first, count = steps[0], state_count(self.recipe)
        zeros = torch.zeros(first.shape[0], self.wide, dtype=first.dtype, device=first.device)
        states, outputs = [zeros] * count, []
        for step in steps:
            values = {"x": step} | {f"h_prev_{i}": state for i, state in enumerate(states)}
            for name, (operation, sources) in self.recipe.items():
                inputs = [values[source] for source in sources]
                if operation == "linear":
                    values[name] = _sum_of_products(self.linear[name], inputs)
                else:
                    values[name] = _FUNCTIONS[operation](*inputs)
            states = [values[f"h_new_{i}"] for i in range(count)]
            outputs.append(states[0])
        return outputs


def _sum_of_products(linears: nn.Module, inputs: list[Tensor]) -> Tensor:
    assert isinstance(linears, nn.ModuleList)
    first, *others = (linear(x) for linear, x in zip(linears, inputs, strict=True))
    total: Tensor = first
    for product in others:
        total = total + product
    return total


def _blend(share: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """share * x + (1 - share) * y, in operations that every pass of foretell supports."""
    return y + share * (x - y)


_FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    "blend": _blend,
    "elementwise_prod": torch.mul,
    "elementwise_sum": torch.add,
    "activation_tanh": torch.tanh,
    "activation_sigm": torch.sigmoid,
    "activation_leaky_relu": F.leaky_relu,
}
