"""The modules and tensors of a model are those that torch finds."""

import pytest
import torch
from torch import nn

from foretell.engine.modules import modules_of, named_buffers_of, named_parameters_of


class Renamed(nn.Module):
    """Gives its modules, parameters and buffers other names."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.BatchNorm1d(2)

    def named_modules(self, *given, **named):  # type: ignore[no-untyped-def]
        return ((f"x{name}", one) for name, one in super().named_modules(*given, **named))

    def named_parameters(self, *given, **named):  # type: ignore[no-untyped-def]
        return ((f"y{name}", one) for name, one in super().named_parameters(*given, **named))


def shared() -> nn.Module:
    """A model whose modules, parameters and buffers have two names, or no value."""
    layer, norm = nn.Linear(2, 2, bias=False), nn.BatchNorm1d(2)
    model = nn.Sequential(layer, norm, nn.Sequential(layer, nn.Linear(2, 2)), norm)
    model.register_module("none", None)
    model.register_buffer("mean", norm.running_mean)
    model[2][1].weight = layer.weight
    return model


MODELS = {
    "shared": shared,
    "renamed": Renamed,
    "renamed inside": lambda: nn.Sequential(nn.ReLU(), Renamed()),
    "scripted": lambda: torch.jit.script(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))),
    "attention": lambda: nn.TransformerEncoderLayer(4, 2, 8),
}


@pytest.mark.filterwarnings("ignore:.torch.jit.script:FutureWarning")
@pytest.mark.parametrize("name", MODELS)
def test_they_have_the_names_and_the_order_of_torch(name: str) -> None:
    model = MODELS[name]()
    assert [id(one) for one in modules_of(model)] == [id(one) for one in model.modules()]
    for found, expected in (
        (named_parameters_of(model), model.named_parameters()),
        (named_buffers_of(model), model.named_buffers()),
    ):
        pairs = list(expected)
        assert [(n, t.data_ptr()) for n, t in found] == [(n, t.data_ptr()) for n, t in pairs]
