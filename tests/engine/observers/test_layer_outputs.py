"""Layer outputs: the Taylor terms of each layer compared with a direct computation."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foretell.engine.passes.loss import loss_pass
from foretell.scoring.score import as_subject
from foretell.scoring.settings import ScoreSettings

N = 4


def terms(model: nn.Module, inputs: Tensor) -> dict[str, Tensor]:
    """The terms that the engine records for a loss that is the mean output."""
    batch = (inputs, torch.zeros(N))
    subject = as_subject(model, batch, 0, ScoreSettings(loss=lambda out, _: out.mean()))
    found: dict[str, Tensor] = loss_pass(subject, {"taylor"}, {})["taylor"]
    return found


class Layer(nn.Module):
    """A layer, and a function of its output."""

    def __init__(self, layer: nn.Module, after: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.layer, self.after = layer, after

    def forward(self, x: Tensor) -> Tensor:
        """One number per sample."""
        return self.after(self.layer(x)).flatten(1).square().sum(1)


def by_hand(layer: nn.Module, x: Tensor, after: Callable[[Tensor], Tensor], channel: int) -> Tensor:
    """Σ over positions of a · ∂L/∂a, with a copied before anything can overwrite it."""
    a = layer(x).detach().requires_grad_()
    after(a.clone()).flatten(1).square().sum(1).mean().backward()
    assert a.grad is not None
    return (a * a.grad).detach().movedim(channel, -1).flatten(1, -2).sum(1) if a.ndim > 2 else (
        (a * a.grad).detach()
    )  # fmt: skip


def scaled_in_place(a: Tensor) -> Tensor:
    """The output is overwritten by a statement whose result is not used."""
    a *= 3.0
    return a


AFTER: dict[str, Callable[[Tensor], Tensor]] = {
    "nothing": lambda a: a,
    "relu in place": lambda a: F.relu(a, inplace=True),
    "silu in place": lambda a: F.silu(a, inplace=True),
    "hardswish_": lambda a: F.hardswish(a, inplace=True),
    "multiplied in place": scaled_in_place,
    "relu_": torch.relu_,
}
LAYERS: dict[str, tuple[Callable[[], nn.Module], Tensor, int]] = {
    "Linear": (lambda: nn.Linear(3, 5), torch.randn(N, 3), -1),
    "Linear on tokens": (lambda: nn.Linear(3, 5), torch.randn(N, 6, 3), -1),
    "Conv1d": (lambda: nn.Conv1d(3, 5, 2), torch.randn(N, 3, 6), 1),
    "Conv2d": (lambda: nn.Conv2d(3, 5, 2), torch.randn(N, 3, 6, 6), 1),
    "Conv3d": (lambda: nn.Conv3d(3, 5, 2), torch.randn(N, 3, 4, 4, 4), 1),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(3, 5, 2), torch.randn(N, 3, 4, 4), 1),
    "Embedding": (lambda: nn.Embedding(7, 5), torch.randint(7, (N, 6)), -1),
}


@pytest.mark.parametrize("after", AFTER)
@pytest.mark.parametrize("kind", LAYERS)
def test_terms_are_those_of_the_output_before_it_is_overwritten(kind: str, after: str) -> None:
    make, inputs, channel = LAYERS[kind]
    layer = make()
    (found,) = terms(Layer(layer, AFTER[after]), inputs).values()
    expected = by_hand(layer, inputs, AFTER[after], channel)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)


def test_a_layer_used_twice_counts_twice() -> None:
    shared = nn.Linear(3, 3)
    found = terms(nn.Sequential(shared, nn.Tanh(), shared), torch.randn(N, 3))
    assert list(found) == ["0.weight", "0.weight#2"]


def test_windows_folded_into_the_batch_belong_to_their_sample() -> None:
    """There are two windows of three numbers per sample, as in Swin."""

    class Windows(nn.Module):
        """A linear layer over the halves of each sample."""

        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 5)

        def forward(self, x: Tensor) -> Tensor:
            """One number per sample."""
            return self.layer(x.reshape(2 * len(x), 3)).reshape(len(x), -1).square().sum(1)

    model, x = Windows(), torch.randn(N, 6)
    (found,) = terms(model, x).values()
    a = model.layer(x.view(N, 2, 3)).detach()
    torch.testing.assert_close(found, (a * 2 * a / N).sum(1))


@pytest.mark.parametrize("batch_first", [True, False])
def test_recurrent_and_attention_outputs_have_a_row_a_sample(batch_first: bool) -> None:
    class Sequence(nn.Module):
        """A GRU, then attention, over six steps."""

        def __init__(self) -> None:
            super().__init__()
            self.gru = nn.GRU(3, 4, batch_first=batch_first)
            self.attend = nn.MultiheadAttention(4, 2, batch_first=batch_first)

        def forward(self, x: Tensor) -> Tensor:
            """One number per sample."""
            h, _ = self.gru(x if batch_first else x.transpose(0, 1))
            out, _ = self.attend(h, h, h, need_weights=False)
            return out.sum((1, 2) if batch_first else (0, 2))

    found = terms(Sequence(), torch.randn(N, 6, 3))
    assert {tuple(rows.shape) for rows in found.values()} == {(N, 4)}
    assert len(found) == 2
