"""Attention is seen in whichever way it is written."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foretell import score
from tests.support.scores import values, why

WIDTH, HEADS, LENGTH, CLASSES = 8, 2, 5, 3
SCORES = ["head_confidence", "attention_confidence", "head_importance", "w_pca"]
WAYS = ("modules", "function", "written out", "einsum")


class Block(nn.Module):
    """Attention with a residual connection and a gated feed-forward network."""

    def __init__(self, way: str, *, causal: bool = False) -> None:
        super().__init__()
        self.way, self.causal = way, causal
        self.attend = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True, bias=False)
        self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(3))
        self.mix = nn.Linear(WIDTH, WIDTH, bias=False)
        self.gate, self.up = nn.Linear(WIDTH, 12), nn.Linear(WIDTH, 12)
        self.down, self.classify = nn.Linear(12, WIDTH), nn.Linear(WIDTH, CLASSES)
        with torch.no_grad():
            for place, layer in enumerate((self.query, self.key, self.value)):
                rows = slice(place * WIDTH, (place + 1) * WIDTH)
                self.attend.in_proj_weight[rows].copy_(layer.weight)
            self.attend.out_proj.weight.copy_(self.mix.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the mean token."""
        mask = torch.ones(LENGTH, LENGTH, dtype=torch.bool).tril()
        if self.way == "modules":
            no = ~mask if self.causal else None
            x = x + self.attend(x, x, x, need_weights=False, attn_mask=no)[0]
        else:
            parts = (self.query(x), self.key(x), self.value(x))
            heads = (part.unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in parts)
            x = x + self.mix(self.attended(mask, *heads).transpose(1, 2).flatten(2))
        x = x + self.down(F.silu(self.gate(x)) * self.up(x))
        logits: Tensor = self.classify(x.mean(1))
        return logits

    def attended(self, mask: Tensor, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """What the heads attend to."""
        if self.way == "function":
            return F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        written = self.way == "written out"
        similar = q @ k.mT if written else torch.einsum("nhqc,nhkc->nhqk", q, k)
        similar = similar / q.shape[-1] ** 0.5
        if self.causal:
            similar = similar.masked_fill(~mask, -torch.inf)
        shares = F.dropout(similar.softmax(-1), 0.0)
        return shares @ v if written else torch.einsum("nhqk,nhkc->nhqc", shares, v)


def block(way: str, **settings: Any) -> nn.Module:
    """The same weights for each way."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Block(way, **settings).double()


def batch() -> tuple[Tensor, Tensor]:
    """Four sequences and their labels."""
    inputs = torch.randn(4, LENGTH, WIDTH, generator=torch.Generator().manual_seed(1))
    return inputs.double(), torch.tensor([0, 1, 2, 0])


@pytest.mark.parametrize("causal", [False, True])
def test_the_scores_do_not_depend_on_how_attention_is_written(causal: bool) -> None:
    expected = values(score(block("modules", causal=causal), batch(), SCORES))
    for way in WAYS[1:]:
        found = values(score(block(way, causal=causal), batch(), SCORES))
        assert found == pytest.approx(expected, rel=1e-9), way


def test_a_gate_is_no_attention() -> None:
    model = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.GLU(), nn.Softmax(-1), nn.Flatten())
    assert "no attention is seen" in why(model, batch_of_32(), "attention_confidence")


def batch_of_32() -> tuple[Tensor, Tensor]:
    """The same in float32."""
    inputs, labels = batch()
    return inputs.float(), labels
