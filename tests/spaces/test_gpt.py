"""GPT-style decoders, compared with published counts, transformers' GPT-2 and a simple twin."""

import cmath
import math
import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from foretell import Batch, score
from foretell.errors import ForetellError
from foretell.proxies import PROXIES
from foretell.spaces import GPT
from foretell.spaces.attention import SelfAttention
from foretell.spaces.gpt import Decoder
from tests.support.twins import TokenByToken

SMALL: dict[str, Any] = {"vocabulary": 11, "length": 6, "unit": 7}
"""With widths that the numbers of heads do not divide."""
TEXT = "2/4:2/2:4/12:3"
IDS = torch.tensor([[1, 2, 3, 4, 5], [6, 7, 8, 9, 10], [3, 1, 4, 1, 5]])


@pytest.mark.parametrize(
    ("layers", "width", "parameters"),
    [(12, 768, 124_439_808), (24, 1024, 354_823_168), (36, 1280, 774_030_080)],
)
def test_gpt2_has_its_published_parameters(layers: int, width: int, parameters: int) -> None:
    with torch.device("meta"):
        model = Decoder(50_257, 1024, width, [(4, 4)] * layers, tied=True)
    assert sum(one.numel() for one in model.parameters()) == parameters


def test_gpt2_small_is_in_the_space() -> None:
    assert GPT().is_valid(GPT().parse("/".join(["12", *["12:4"] * 12])))


def test_a_network_computes_what_gpt2_of_transformers_computes() -> None:
    transformers = pytest.importorskip("transformers")
    sizes = {"vocab_size": 11, "n_positions": 6, "n_embd": 16, "n_layer": 2, "n_head": 4}
    config = transformers.GPT2Config(**sizes, n_inner=48, activation_function="gelu")
    space = GPT(vocabulary=11, length=6, unit=8)
    ours = space.build(space.parse("2/4:3/4:3"), seed=1).double()
    theirs = transformers.GPT2LMHeadModel(config).double().eval()
    theirs.load_state_dict(as_gpt2(ours))
    torch.testing.assert_close(ours(IDS), theirs(IDS).logits)


GPT2_NAMES = {
    "tokens.": "transformer.wte.",
    "places.": "transformer.wpe.",
    "blocks.": "transformer.h.",
    "before_attention.": "ln_1.",
    "attention.out.": "attn.c_proj.",
    "before_feed.": "ln_2.",
    "feed.0.": "mlp.c_fc.",
    "feed.2.": "mlp.c_proj.",
    "norm.": "transformer.ln_f.",
    "output.": "lm_head.",
}


def as_gpt2(model: nn.Module) -> dict[str, Tensor]:
    """The weights under the names of transformers, which transposes those of the blocks."""
    found: dict[str, list[Tensor]] = {}
    for name, value in model.state_dict().items():
        turned = value.dim() == 2 and name.startswith("blocks.")
        name = re.sub(r"attention\.(query|key|value)", "attn.c_attn", name)
        for ours, theirs in GPT2_NAMES.items():
            name = name.replace(ours, theirs)
        found.setdefault(name, []).append(value.T if turned else value)
    return {name: torch.cat(parts, dim=-1) for name, parts in found.items()}


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("positions", ["learned", "rotary"])
def test_a_network_computes_what_its_twin_computes(positions: str, tied: bool) -> None:
    space = GPT(**SMALL, positions=positions, tied=tied)
    model = space.build(space.parse(TEXT), seed=0).double()
    for one in model.parameters():
        one.data = torch.randn(
            one.shape, generator=torch.Generator().manual_seed(one.numel())
        ).double()
    expected = torch.stack([twin(ids, dict(model.named_parameters()), positions) for ids in IDS])
    torch.testing.assert_close(model(IDS), expected)


def twin(ids: Tensor, weights: dict[str, Tensor], positions: str) -> Tensor:
    """The logits of one sequence, token by token and head by head."""

    layers = TokenByToken(weights)

    def turned(x: Tensor, place: int) -> Tensor:
        """Pairs of features as complex numbers, each multiplied by a number of modulus one."""
        half = len(x) // 2
        if positions == "learned":
            return x
        pairs = torch.complex(x[:half], x[half : 2 * half])
        for i in range(half):
            pairs[i] = pairs[i] * cmath.exp(1j * place * 10_000 ** (-i / half))
        return torch.cat([pairs.real, pairs.imag, x[2 * half :]])

    def attend(
        name: str, t: int, query: Tensor, keys: list[Tensor], values: list[Tensor]
    ) -> Tensor:
        query = turned(query, t)
        likeness = [query @ turned(keys[s], s) for s in range(t + 1)]
        shares = (torch.stack(likeness) / len(query) ** 0.5).softmax(0)
        return shares @ torch.stack(values[: t + 1])

    xs = [weights["tokens.weight"][token] for token in ids]
    if positions == "learned":
        xs = [x + weights["places.weight"][t] for t, x in enumerate(xs)]
    for number, heads in enumerate([4, 2, 12]):
        xs = layers.block(f"blocks.{number}", xs, heads, attend)
    output = weights.get("output.weight", weights["tokens.weight"])
    return torch.stack([output @ layers.norm("norm", x) for x in xs])


def test_weights_are_drawn_as_for_gpt2() -> None:
    space = GPT(vocabulary=400, length=200)
    weights = space.build(space.parse("2/4:4/4:4"), 0).state_dict()
    for name, value in weights.items():
        if "norm" in name or "before" in name:
            assert value.eq("weight" in name).all()
        elif name.endswith("bias"):
            assert not value.any()
        else:
            std = 0.01 if name.endswith(("attention.out.weight", "feed.2.weight")) else 0.02
            assert value.std().item() == pytest.approx(std, rel=0.03), name


class WrittenOut(nn.Module):
    """`SelfAttention` in products and a softmax."""

    def __init__(self, like: SelfAttention) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = like.query, like.key, like.value, like.out
        self.heads = like.heads

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (
            layer(x).reshape(*x.shape[:2], self.heads, -1).permute(0, 2, 1, 3)
            for layer in (self.query, self.key, self.value)
        )
        likeness = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
        later = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
        shares = likeness.masked_fill(later, -math.inf).softmax(-1)
        out: Tensor = self.out((shares @ value).permute(0, 2, 1, 3).reshape(*x.shape[:2], -1))
        return out


def test_scores_are_those_of_attention_written_out() -> None:
    space = GPT(**SMALL)
    batch = Batch(IDS, IDS.roll(-1, 1))
    ours, theirs = (space.build(space.parse(TEXT), 0).double() for _ in range(2))
    for block in theirs.get_submodule("blocks").children():
        block.attention = WrittenOut(block.get_submodule("attention"))
    one, other = (
        score(model, batch, [*PROXIES], loss="token_cross_entropy") for model in (ours, theirs)
    )
    for name, found in one.items():
        assert found.value == pytest.approx(other[name].value, rel=1e-6, nan_ok=True), name
        assert math.isnan(found.value) == (name in UNDEFINED), (name, found.why)


UNDEFINED = {
    *("jacob_cov", "epe_nas", "zen"),  # tokens are integers
    *("vkdnw", "vkdnw_reference"),  # one prediction for each token
    *("rmin", "d8", "rd8", "meco", "meco_opt", "near"),  # these batches are too small
}


def test_a_token_does_not_depend_on_those_after_it() -> None:
    for positions in ("learned", "rotary"):
        space = GPT(**SMALL, positions=positions)
        model = space.build(space.parse(TEXT), 0)
        changed = IDS.clone()
        changed[:, 3:] = 0
        assert model(IDS)[:, :3].equal(model(changed)[:, :3])
        assert not model(IDS)[:, 3:].equal(model(changed)[:, 3:])


def test_more_tokens_than_positions_are_refused_where_positions_are_learned() -> None:
    longer = torch.zeros(2, 7, dtype=torch.int64)
    learned, rotary = (GPT(**SMALL, positions=one) for one in ("learned", "rotary"))
    with pytest.raises(ForetellError, match="7 tokens are given; the network has length=6"):
        learned.build(learned.parse(TEXT), 0)(longer)
    assert rotary.build(rotary.parse(TEXT), 0)(longer).shape == (2, 7, 11)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"positions": "learnt"}, "gpt: positions is 'learnt'; give learned or rotary"),
        ({"positions": []}, r"gpt: positions is \[\]; give learned or rotary"),
        ({"tied": 1}, "gpt: tied is 1; give true or false"),
        ({"unit": 0}, "gpt: unit is 0; give an integer of at least 1"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ForetellError, match=message):
        GPT(**settings)
