"""Rules for where the samples are: what an operation makes of another order of the samples."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foretell.batch import Batch, tensors
from foretell.engine.observers.samples import Found, Lost, Samples
from foretell.engine.samples.layout import Layout, Without

N = 4
"""As many samples as there are time steps and channels: sizes tell nothing."""

ORDER = [2, 3, 1, 0]

MATRIX = torch.randn(N, N, dtype=torch.float64)
STACKED = torch.randn(3, N, N, dtype=torch.float64)
KERNEL = torch.randn(N, N, 3, dtype=torch.float64)


def module(layer: nn.Module) -> nn.Module:
    """The layer in float64, without dropout."""
    return layer.double().eval()


LAYERS: dict[str, Any] = {
    "lstm": module(nn.LSTM(N, N, 2)),
    "gru": module(nn.GRU(N, N, batch_first=True)),
    "attention": module(nn.MultiheadAttention(N, 2)),
    "encoder": module(nn.TransformerEncoderLayer(N, 2, 8)),
    "cell": module(nn.LSTMCell(N, N)),
    "table": module(nn.Embedding(9, N)),
    "conv": module(nn.Conv1d(N, N, 3, padding=1)),
    "bilinear": module(nn.Bilinear(N, N, 3)),
}

# Of x, [N, T, C], all three of one size.
FOLLOWED: dict[str, Callable[[Tensor], Any]] = {
    "pointwise": lambda x: torch.relu(x) * x[:, :1] + MATRIX[0],
    "broadcast from the left": lambda x: x.mean((1, 2))[:, None, None] * MATRIX,
    "softmax": lambda x: x.softmax(-1),
    "sequence first": lambda x: x.transpose(0, 1),
    "permute": lambda x: x.permute(2, 0, 1),
    "movedim": lambda x: x.movedim(0, -1),
    "two axes moved": lambda x: x.movedim((0, 1), (2, 0)),
    ".T of rows": lambda x: x[:, 0].T,
    ".mT": lambda x: x.mT,
    "swapaxes": lambda x: x.swapaxes(-3, -1),
    "folded": lambda x: x.reshape(-1, N),
    "folded, sequence first": lambda x: x.transpose(0, 1).reshape(-1, N),
    "folded and back": lambda x: x.transpose(0, 1).flatten(0, 1).unflatten(0, (N, N)),
    "windows": lambda x: x.view(N, 2, 2, 2, 2).permute(0, 1, 3, 2, 4).reshape(-1, 2, 2),
    "linear": lambda x: F.linear(x, MATRIX),
    "linear, sequence first": lambda x: F.linear(x.transpose(0, 1), MATRIX),
    "matmul": lambda x: x @ MATRIX,
    "left-hand matrix": lambda x: MATRIX @ x[:, 0].T,
    "left-hand matrix of tokens": lambda x: MATRIX @ x,
    "stacked matrices": lambda x: x[:, None] @ STACKED,
    "vector": lambda x: x @ MATRIX[0],
    "addmm": lambda x: torch.addmm(MATRIX[0], x[:, 0], MATRIX),
    "baddbmm": lambda x: torch.baddbmm(x, x, x),
    "einsum": lambda x: torch.einsum("ntc,dc->tnd", x, MATRIX),
    "einsum without an arrow": lambda x: torch.einsum("ntc,cd", x, MATRIX),
    "tensordot": lambda x: torch.tensordot(MATRIX, x, dims=([1], [2])),
    "inner": lambda x: torch.inner(MATRIX, x),
    "attention scores": lambda x: (x @ x.mT).softmax(-1) @ x,
    "fused attention": lambda x: F.scaled_dot_product_attention(x[:, None], x[:, None], x[:, None]),
    "convolution": lambda x: LAYERS["conv"](x),
    "bilinear": lambda x: LAYERS["bilinear"](x, x),
    "lookup": lambda x: LAYERS["table"](x.argmax(-1)),
    "lookup by index": lambda x: MATRIX[x.argmax(-1)],
    "lstm, sequence first": lambda x: LAYERS["lstm"](x.transpose(0, 1))[0],
    "lstm's last state": lambda x: LAYERS["lstm"](x.transpose(0, 1))[1][0][-1],
    "gru": lambda x: LAYERS["gru"](x)[0],
    "gru's state": lambda x: LAYERS["gru"](x)[1],
    "cell": lambda x: LAYERS["cell"](x[:, 0])[0],
    "attention, sequence first": lambda x: LAYERS["attention"](*[x.transpose(0, 1)] * 3)[0],
    "attention weights": lambda x: LAYERS["attention"](*[x.transpose(0, 1)] * 3)[1],
    "encoder, sequence first": lambda x: LAYERS["encoder"](x.transpose(0, 1)),
    "pools": lambda x: F.max_pool1d(F.avg_pool1d(x.transpose(1, 2), 2), 2),
    "adaptive pool": lambda x: F.adaptive_avg_pool2d(x[:, None], 2),
    "padded": lambda x: F.pad(x, (1, 2)),
    "interpolated": lambda x: F.interpolate(x, scale_factor=2),
    "glu": lambda x: F.glu(x),
    "normalised": lambda x: F.layer_norm(F.normalize(x.transpose(0, 1), dim=-1), (N,)),
    "joined channels": lambda x: torch.cat([x, x.flip(1)], -1),
    "joined views": lambda x: torch.cat([x, x.flip(1)]),
    "joined views apart": lambda x: torch.cat([x, x.flip(1), x])[N:].chunk(2)[1],
    "stacked": lambda x: torch.stack([x, x.flip(2)]),
    "stacked and folded": lambda x: torch.stack([x, x.flip(2)]).flatten(0, 1),
    "a token beside": lambda x: torch.cat([MATRIX[:1].expand(N, -1, -1), x], 1),
    "sum over tokens": lambda x: x.transpose(0, 1).sum(0),
    "kept axes": lambda x: x.amax((1, 2), keepdim=True),
    "largest and where": lambda x: x.transpose(0, 1).max(0)[1],
    "norm": lambda x: x.norm(2, dim=-1),
    "indexed": lambda x: x[..., None, 1:3, 0],
    "select": lambda x: x.transpose(0, 1).select(0, 2),
    "unbind": lambda x: x.transpose(0, 1).unbind()[3],
    "narrow": lambda x: x.transpose(0, 1).narrow(0, 1, 2),
    "split": lambda x: x.transpose(0, 1).split(3)[0],
    "squeezed": lambda x: x[:, None, :1].transpose(0, 2).squeeze(),
    "unsqueezed": lambda x: x.unsqueeze(0).unsqueeze(-1),
    "expanded": lambda x: x[:, :1].expand(3, N, 2, N),
    "repeated": lambda x: x[:, 0].repeat(2, 3),
    "repeated in a row": lambda x: x.repeat_interleave(3, 0),
    "gathered": lambda x: x.gather(1, x.argsort(1)),
    "chosen from a table": lambda x: torch.gather(MATRIX[:1].expand(N, N), 1, x.argmax(-1)),
    "rolled": lambda x: x.transpose(0, 1).roll(1, 0),
    "sorted": lambda x: x.topk(2, 1)[0],
    "written into": lambda x: torch.zeros_like(x).index_add(1, torch.tensor([0]), x[:, :1]),
    "slices of time": lambda x: x.unfold(1, 2, 1),
    "centred": lambda x: x - x.mean(0),
    "scaled by the largest": lambda x: x / x.abs().max(),
    "in place": lambda x: x.clone().transpose(0, 1).mul_(2).relu_(),
}


def followed(function: Callable[[Tensor], Any], x: Tensor) -> tuple[Found, Tensor]:
    """Where rules say that the samples are in the result, and the result."""
    samples = Samples(Batch(x), lambda: {id(t) for t in (MATRIX, STACKED, KERNEL)})
    with samples:
        out = tensors(function(x))[0]
    return samples.of(out), out


def inputs() -> Tensor:
    """[N, T, C]."""
    return torch.randn(N, N, N, generator=torch.Generator().manual_seed(0)).double()


@pytest.mark.parametrize("name", FOLLOWED)
def test_samples_in_another_order_are_where_the_rule_says(name: str) -> None:
    x = inputs()
    place, out = followed(FOLLOWED[name], x)
    assert isinstance(place, Layout), place
    _, other = followed(FOLLOWED[name], x[ORDER])
    torch.testing.assert_close(place.by_sample(other, N), place.by_sample(out, N)[ORDER])
    assert not torch.equal(out, other)


LOST: dict[str, Callable[[Tensor], Any]] = {
    "another order": lambda x: x[torch.tensor(ORDER)],
    "turned round": lambda x: x.roll(1, 0),
    "routed": lambda x: x[x[:, 0, 0] > 0],
    "sorted along the samples": lambda x: x.sort(0)[0],
    "split across": lambda x: x.reshape(2, 8, N),
    "some samples": lambda x: x[1:3],
    "each with each": lambda x: x[:, None] - x[None],
    "products of samples": lambda x: x[:, 0] @ x[:, 0].T,
    "written into a table": lambda x: MATRIX.index_put((x.argmax(-1)[:, 0],), x[0, 0]),
    "where": lambda x: torch.where(x[:, :, 0] > 0)[0],
    "unknown": lambda x: torch.cdist(x, x),
}


@pytest.mark.parametrize("name", LOST)
def test_nothing_is_guessed_where_there_is_no_answer(name: str) -> None:
    place, _ = followed(LOST[name], inputs())
    assert isinstance(place, Lost)
    assert place.by


def test_what_samples_share_has_none() -> None:
    assert followed(lambda x: x.mean(0), inputs())[0] is Without.POOLED
    assert followed(lambda x: x.sum(), inputs())[0] is Without.POOLED
    assert followed(lambda x: torch.relu(MATRIX), inputs())[0] is Without.COMMON
    assert followed(lambda x: x.new_zeros(N, 3), inputs())[0] is Without.COMMON


def test_what_is_written_into_a_view_is_in_the_whole() -> None:
    """A table into which the samples are written is no table any more."""

    def write(x: Tensor) -> Tensor:
        whole = torch.zeros(N, N, N, dtype=x.dtype)
        whole[:, 0].copy_(x[:, 0])
        return whole * 2

    def assign(x: Tensor) -> Tensor:
        whole = torch.zeros(N, N, N, dtype=x.dtype)
        whole[:, 0] = x[:, 0]
        return whole * 2

    assert isinstance(followed(write, inputs())[0], Lost)
    assert isinstance(followed(assign, inputs())[0], Lost)
