"""Tiny models of every kind that the engine supports, each with a suitable batch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

CLASSES = 4
SAMPLES = 6
AT_BLOCKS = ("az_expressivity", "az_progressivity", "az_trainability", "pr")
"""The proxies of the features and gradients between repeated blocks."""
OF_ATTENTION = ("head_confidence", "attention_confidence", "head_importance", "dss")
"""The proxies of attention."""


@dataclass(frozen=True)
class Case:
    """How to build a model and its inputs, and facts about it that do not come from the engine."""

    build: Callable[[], nn.Module]
    inputs: Callable[[Generator], Any]
    weights: tuple[str, ...]
    """The names of the parameters that count as weights."""
    frozen: tuple[str, ...] = ()
    """The names of weights that do not count because they are not trained."""
    coupled: bool = False
    """Whether the samples of a batch influence each other (BatchNorm)."""
    random: bool = False
    """Whether the model draws random numbers (dropout)."""
    modular: Callable[[nn.Module], nn.Module] | None = None
    """Converts the model into an equivalent one with a module for each layer, if it has none."""
    tokens: bool = False
    """Whether the inputs are integers."""
    blocks: tuple[str, ...] = ()
    """Names of the modules that are its repeated blocks, in the order in which they run."""


def conv(before: int, after: int, kernel: int = 3, **more: Any) -> nn.Conv2d:
    """A convolution that keeps the size of the map."""
    return nn.Conv2d(before, after, kernel, padding=kernel // 2, **more)


def head(channels: int) -> list[nn.Module]:
    """Global average pooling and a classifier."""
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, CLASSES)]


def mlp() -> nn.Module:
    """Two linear layers."""
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 10), nn.ReLU(), nn.Linear(10, CLASSES))


def conv_bn_relu() -> nn.Module:
    """The usual block, with an in-place activation."""
    first = [conv(3, 8, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True)]
    second = [conv(8, 8, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True)]
    return nn.Sequential(*first, *second, *head(8))


def conv_in_place() -> nn.Module:
    """In-place activations that overwrite the output of a convolution."""
    first = [conv(3, 6), nn.ReLU(inplace=True)]
    second = [conv(6, 6, 5, stride=2), nn.SiLU(inplace=True)]
    return nn.Sequential(*first, *second, *head(6))


class Residual(nn.Module):
    """A residual block that adds in place, with or without BatchNorm."""

    def __init__(self, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.stem = conv(3, 6)
        self.first, self.norm1 = conv(6, 6, bias=False), norm(6)
        self.second, self.norm2 = conv(6, 6, bias=False), norm(6)
        self.relu = nn.ReLU(inplace=True)
        self.classify = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """The sum of the block, pooled."""
        x = self.stem(x)
        out = self.norm2(self.second(self.relu(self.norm1(self.first(x)))))
        out += x
        return cast(Tensor, self.classify(self.relu(out).mean((2, 3))))


def grouped() -> nn.Module:
    """Grouped, depthwise, dilated and pointwise convolutions."""
    mixing = [conv(4, 8, groups=2), nn.ReLU(), conv(8, 8, groups=8, bias=False), nn.ReLU6()]
    wide = nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=4)
    return nn.Sequential(*mixing, wide, nn.ELU(), conv(8, 6, 1), nn.Tanh(), *head(6))


def wide() -> nn.Module:
    """Convolutions with more channels than most models here have."""
    return nn.Sequential(
        *(conv(3, 12), nn.GELU(), conv(12, 10, groups=2), nn.Hardswish()), *head(10)
    )


def no_norm() -> nn.Module:
    """A VGG-like net with strides, pooling and a LeakyReLU."""
    first = [nn.Conv2d(3, 6, 3, stride=2), nn.LeakyReLU(0.1, inplace=True)]
    second = [nn.MaxPool2d(2), nn.Conv2d(6, 8, 2), nn.PReLU(8)]
    return nn.Sequential(*first, *second, nn.Flatten(), nn.Linear(8 * 4, CLASSES))


class Attention(nn.Module):
    """A pre-norm transformer block over a sequence, with in-place sums."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(5, 8)
        self.norm1, self.norm2 = nn.LayerNorm(8), nn.LayerNorm(8)
        self.attend = nn.MultiheadAttention(8, 2, batch_first=True)
        self.feed = nn.Sequential(nn.Linear(8, 12), nn.GELU(), nn.Linear(12, 8))
        self.classify = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Attend, feed forward, and classify the mean token."""
        x = self.embed(x)
        normed = self.norm1(x)
        x = x + self.attend(normed, normed, normed, need_weights=False)[0]
        fed = self.feed(self.norm2(x))
        fed += x
        return cast(Tensor, self.classify(fed.mean(1)))


class Transformer(nn.Module):
    """PyTorch's own pre-norm encoder layer, with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(5, 8)
        self.layer = nn.TransformerEncoderLayer(
            8, 2, 12, dropout=0.2, activation="gelu", batch_first=True, norm_first=True
        )
        self.classify = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Embed, transform, and classify the mean token."""
        return cast(Tensor, self.classify(self.layer(self.embed(x)).mean(1)))


class ConvNext(nn.Module):
    """A depthwise convolution, LayerNorm over channels, linear layers on maps, and layer scale."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 2, stride=2)
        self.depthwise = conv(6, 6, groups=6)
        self.norm = nn.LayerNorm(6)
        self.widen, self.narrow = nn.Linear(6, 12), nn.Linear(12, 6)
        self.scale = nn.Parameter(torch.empty(6))
        self.classify = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """One block; both linear layers are followed by in-place functions."""
        x = self.stem(x)
        out = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        out = self.narrow(F.relu(self.widen(out), inplace=True))
        out *= self.scale + 1
        return cast(Tensor, self.classify((x + out.permute(0, 3, 1, 2)).mean((2, 3))))


class FunctionalAttention(nn.Module):
    """Attention whose projections are plain parameters used by F.linear."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(6)
        self.qkv = nn.Parameter(torch.empty(18, 6))
        self.out_weight = nn.Parameter(torch.empty(6, 6))
        self.out_bias = nn.Parameter(torch.empty(6))
        self.classify = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Attend with two heads."""
        parts = F.linear(self.norm(x), self.qkv).unflatten(-1, (3, 2, 3)).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(parts[0], parts[1], parts[2])
        joined = attended.transpose(1, 2).flatten(2)
        x = x + F.linear(joined, weight=self.out_weight, bias=self.out_bias)
        return cast(Tensor, self.classify(F.gelu(x).mean(1)))


class ModularAttention(nn.Module):
    """The same function as FunctionalAttention, with a module for each projection."""

    def __init__(self, like: nn.Module) -> None:
        super().__init__()
        self.attend = nn.Softmax(-1)
        assert isinstance(like, FunctionalAttention)
        self.norm, self.classify = like.norm, like.classify
        self.q_k_v, self.out = nn.Linear(6, 18, bias=False), nn.Linear(6, 6)
        self.q_k_v.weight, self.out.weight, self.out.bias = (
            like.qkv,
            like.out_weight,
            like.out_bias,
        )

    def forward(self, x: Tensor) -> Tensor:
        """Attend as FunctionalAttention does, with softmax written out."""
        q, k, v = self.q_k_v(self.norm(x)).chunk(3, dim=-1)
        heads = []
        for part in (slice(0, 3), slice(3, 6)):
            similar = q[..., part] @ k[..., part].transpose(1, 2) / 3**0.5
            heads.append(self.attend(similar) @ v[..., part])
        x = x + self.out(torch.cat(heads, dim=-1))
        return cast(Tensor, self.classify(F.gelu(x).mean(1)))


class Tied(nn.Module):
    """A linear layer that is used twice, and a second one with the same weight and another bias."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Linear(5, 7)
        self.twice = nn.Linear(7, 7)
        self.shares = nn.Linear(7, 7)
        self.shares.weight = self.twice.weight
        self.classify = nn.Linear(7, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Use the shared weight three times."""
        x = torch.relu(self.twice(torch.relu(self.enter(x))))
        x = torch.tanh(self.twice(x)) + torch.sigmoid(self.shares(x))
        return cast(Tensor, self.classify(x))


def shared() -> nn.Module:
    """Layers that are registered under several names."""
    layer, norm = nn.Linear(6, 6), nn.BatchNorm1d(6)
    return nn.Sequential(
        *(nn.Linear(5, 6), layer, norm, nn.ReLU(), layer, norm, nn.Tanh()),
        nn.Linear(6, CLASSES),
    )


def dropout() -> nn.Module:
    """Dropout of elements and of channels."""
    first = [conv(3, 6), nn.Dropout2d(0.3), nn.ReLU(inplace=True)]
    second = [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Dropout(0.4, inplace=True)]
    return nn.Sequential(*first, *second, nn.Linear(24, CLASSES))


def frozen() -> nn.Module:
    """A frozen stem, a frozen layer in the middle and a frozen bias at the end."""
    model = nn.Sequential(
        *(conv(3, 6), nn.ReLU(), conv(6, 6), nn.ReLU(inplace=True), conv(6, 6), nn.ReLU()),
        *(conv(6, 6), nn.ReLU(), *head(6)),
    )
    model[0].requires_grad_(False)
    model[4].requires_grad_(False)
    model[-1].bias.requires_grad_(False)
    return model


def one_by_one() -> nn.Module:
    """Maps of a single pixel, where BatchNorm has only the samples to average over."""
    first = [conv(5, 8, 1), nn.BatchNorm2d(8), nn.ReLU(inplace=True)]
    return nn.Sequential(*first, conv(8, CLASSES, 3), nn.Flatten())


class Named(NamedTuple):
    """A named tuple that a model returns."""

    logits: Tensor
    features: Tensor


class Outputs(nn.Module):
    """A model that returns its features in addition to its logits."""

    def __init__(self, pack: Callable[[Tensor, Tensor], Any]) -> None:
        super().__init__()
        self.pack = pack
        self.features = nn.Sequential(nn.Flatten(), nn.Linear(12, 9), nn.ReLU())
        self.classify = nn.Linear(9, CLASSES)

    def forward(self, x: Tensor) -> Any:
        """Both, packed up."""
        features = self.features(x)
        return self.pack(self.classify(features), features)


class Recurrent(nn.Module):
    """A convolution over time, followed by a recurrent layer."""

    def __init__(self, recurrent: nn.RNNBase) -> None:
        super().__init__()
        self.conv = nn.Conv1d(3, 5, 3, padding=1)
        self.recurrent = recurrent
        self.classify = nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Classify the last step."""
        x = torch.relu(self.conv(x))  # [N, 5, T]
        if self.recurrent.batch_first:
            return cast(Tensor, self.classify(self.recurrent(x.transpose(1, 2))[0][:, -1]))
        return cast(Tensor, self.classify(self.recurrent(x.permute(2, 0, 1))[0][-1]))


class Tokens(nn.Module):
    """Token and position embeddings, and a convolution over the tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Embedding(11, 6)
        self.position = nn.Embedding(7, 6)
        self.conv = nn.Conv1d(6, 8, 3)
        self.classify = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """The table of positions is read once for all samples."""
        x = self.token(x) + self.position(torch.arange(x.shape[1], device=x.device))
        return cast(Tensor, self.classify(torch.relu(self.conv(x.transpose(1, 2))).amax(2)))


def transposed() -> nn.Module:
    """A network with transposed convolutions, one of them grouped."""
    down = [nn.Conv2d(3, 6, 3, stride=2), nn.ReLU()]
    up = [
        nn.ConvTranspose2d(6, 4, 3, stride=2),
        nn.ReLU(True),
        nn.ConvTranspose2d(4, 4, 2, groups=2),
    ]
    return nn.Sequential(*down, *up, *head(4))


def volume() -> nn.Module:
    """A 3-d convolution with BatchNorm3d, which the synflow of the reference keeps."""
    first = [nn.Conv3d(2, 4, 3, padding=1), nn.BatchNorm3d(4), nn.ReLU(inplace=True)]
    return nn.Sequential(*first, nn.ConvTranspose3d(4, 3, 2), nn.Flatten(), nn.LazyLinear(CLASSES))


def group_norm() -> nn.Module:
    """Normalisations over a single sample."""
    first = [conv(3, 8, bias=False), nn.GroupNorm(2, 8), nn.ReLU(inplace=True)]
    second = [conv(8, 6), nn.InstanceNorm2d(6, affine=True), nn.Softplus()]
    return nn.Sequential(*first, *second, *head(6))


class SqueezeExcite(nn.Module):
    """A hard-swish convolution gated by a squeeze-and-excite block."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = conv(3, 8)
        self.squeeze, self.excite = nn.Conv2d(8, 2, 1), nn.Conv2d(2, 8, 1)
        self.hard = nn.Conv2d(8, 8, 1)
        self.act, self.gate = nn.Hardswish(inplace=True), nn.Sigmoid()
        self.classify = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Gate the channels twice, by a sigmoid and by a hard sigmoid."""
        x = self.act(self.conv(x))
        pooled = F.adaptive_avg_pool2d(x, 1)
        x = x * self.gate(self.excite(torch.relu(self.squeeze(pooled))))
        x = F.hardsigmoid(self.hard(x)) * x
        return cast(Tensor, self.classify(x.mean((2, 3))))


class Cell(nn.Module):
    """A residual block whose first function writes to its input, with or without a stride."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.relu = nn.ReLU(inplace=True)
        self.first, self.norm = (
            conv(before, after, bias=False, stride=stride),
            nn.BatchNorm2d(after),
        )
        self.second = conv(after, after)
        self.skip = nn.Conv2d(before, after, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """The sum of both ways."""
        x = self.relu(x)
        out: Tensor = self.skip(x) + self.second(self.relu(self.norm(self.first(x))))
        return out


def cells() -> nn.Module:
    """Stages of residual blocks, the second of which halves the maps."""
    stages = nn.Sequential(Cell(4, 4, 1), Cell(4, 4, 1)), nn.Sequential(Cell(4, 6, 2))
    return nn.Sequential(conv(3, 4), *stages, *head(6))


class Patches(nn.Module):
    """A vision transformer: patches are tokens, and its layers are in a ModuleList."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 8, 2, stride=2)
        self.layers = nn.ModuleList(EncoderLayer() for _ in range(3))
        self.classify = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Classify the mean token."""
        x = self.embed(x).flatten(2).transpose(1, 2)
        for layer in self.layers:
            x = layer(x)
        return cast(Tensor, self.classify(x.mean(1)))


class EncoderLayer(nn.Module):
    """Attention and a feed-forward network, each with a residual connection."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.qkv, self.mix = nn.LayerNorm(8), nn.Linear(8, 24), nn.Linear(8, 8)
        self.attend = nn.Softmax(-1)
        self.feed = nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 12), nn.GELU(), nn.Linear(12, 8))

    def forward(self, x: Tensor) -> Tensor:
        """Attend with one head, feed forward."""
        q, k, v = self.qkv(self.norm(x)).chunk(3, -1)
        x = x + self.mix(self.attend(q @ k.transpose(1, 2) / 8**0.5) @ v)
        return x + cast(Tensor, self.feed(x))


class TwoInputs(nn.Module):
    """A model with two named inputs, a bilinear layer and a plain matrix product."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Parameter(torch.empty(4, 5))
        self.join = nn.Bilinear(5, 3, 6)
        self.classify = nn.Linear(6, CLASSES)

    def forward(self, image: Tensor, extra: Tensor) -> Tensor:
        """Join and classify."""
        return cast(Tensor, self.classify(torch.tanh(self.join(image @ self.left, extra))))


class ModularTwoInputs(nn.Module):
    """The same function as TwoInputs, with a linear layer for the product."""

    def __init__(self, like: nn.Module) -> None:
        super().__init__()
        assert isinstance(like, TwoInputs)
        self.first = nn.Linear(4, 5, bias=False)
        del self.first.weight
        self.first.register_parameter("weight", nn.Parameter(like.left.detach().T.contiguous()))
        self.join, self.classify = like.join, like.classify

    def forward(self, image: Tensor, extra: Tensor) -> Tensor:
        """Join and classify."""
        return cast(Tensor, self.classify(torch.tanh(self.join(self.first(image), extra))))


def normal(*shape: int) -> Callable[[Generator], Tensor]:
    """A function that draws inputs from N(0, 1), with the samples as an additional first axis."""
    return lambda generator: torch.randn(SAMPLES, *shape, generator=generator)


def two_inputs(generator: Generator) -> dict[str, Tensor]:
    """The inputs of TwoInputs by name."""
    return {"image": normal(4)(generator), "extra": normal(3)(generator)}


def gru() -> nn.Module:
    """A batch-first GRU."""
    return Recurrent(nn.GRU(5, 4, batch_first=True))


def lstm() -> nn.Module:
    """A time-first bidirectional LSTM with two layers, of which only the forward half is read."""
    return Recurrent(nn.LSTM(5, 2, num_layers=2, bidirectional=True))


RECURRENT = ("weight_ih", "weight_hh")
LSTM = tuple(
    f"recurrent.{part}_l{layer}{way}"
    for layer in (0, 1)
    for way in ("", "_reverse")
    for part in RECURRENT
)

MODELS: dict[str, Case] = {
    "mlp": Case(mlp, normal(3, 4), ("1.weight", "3.weight")),
    "conv_bn_relu": Case(
        conv_bn_relu, normal(3, 6, 6), ("0.weight", "3.weight", "8.weight"), coupled=True
    ),
    "conv_in_place": Case(conv_in_place, normal(3, 6, 6), ("0.weight", "2.weight", "6.weight")),
    "residual": Case(
        lambda: Residual(nn.Identity),
        normal(3, 5, 5),
        ("stem.weight", "first.weight", "second.weight", "classify.weight"),
    ),
    "residual_bn": Case(
        lambda: Residual(nn.BatchNorm2d),
        normal(3, 5, 5),
        ("stem.weight", "first.weight", "second.weight", "classify.weight"),
        coupled=True,
    ),
    "grouped": Case(
        grouped,
        normal(4, 5, 5),
        ("0.weight", "2.weight", "4.weight", "6.weight", "10.weight"),
    ),
    "wide": Case(wide, normal(3, 7, 7), ("0.weight", "2.weight", "6.weight")),
    "no_norm": Case(no_norm, normal(3, 13, 13), ("0.weight", "3.weight", "6.weight")),
    "attention": Case(
        Attention,
        normal(4, 5),
        (
            "embed.weight",
            "attend.in_proj_weight",
            "attend.out_proj.weight",
            "feed.0.weight",
            "feed.2.weight",
            "classify.weight",
        ),
    ),
    "transformer": Case(
        Transformer,
        normal(5, 5),
        (
            "embed.weight",
            "layer.self_attn.in_proj_weight",
            "layer.self_attn.out_proj.weight",
            "layer.linear1.weight",
            "layer.linear2.weight",
            "classify.weight",
        ),
        random=True,
    ),
    "convnext": Case(
        ConvNext,
        normal(3, 8, 8),
        (
            "stem.weight",
            "depthwise.weight",
            "widen.weight",
            "narrow.weight",
            "classify.weight",
        ),
    ),
    "functional_attention": Case(
        FunctionalAttention,
        normal(5, 6),
        ("qkv", "out_weight", "classify.weight"),
        modular=ModularAttention,
    ),
    "tied": Case(Tied, normal(5), ("enter.weight", "twice.weight", "classify.weight")),
    "shared": Case(shared, normal(5), ("0.weight", "1.weight", "7.weight"), coupled=True),
    "dropout": Case(dropout, normal(3, 5, 5), ("0.weight", "6.weight"), random=True),
    "frozen": Case(
        frozen,
        normal(3, 5, 5),
        ("2.weight", "6.weight", "10.weight"),
        frozen=("0.weight", "4.weight"),
    ),
    "one_by_one": Case(one_by_one, normal(5, 1, 1), ("0.weight", "3.weight"), coupled=True),
    "tuple_output": Case(
        lambda: Outputs(lambda logits, features: (logits, features)),
        normal(3, 4),
        ("features.1.weight", "classify.weight"),
    ),
    "named_tuple_output": Case(
        lambda: Outputs(Named), normal(3, 4), ("features.1.weight", "classify.weight")
    ),
    "dict_output": Case(
        lambda: Outputs(lambda logits, features: {"features": features, "logits": logits}),
        normal(3, 4),
        ("features.1.weight", "classify.weight"),
    ),
    "gru": Case(
        gru,
        normal(3, 5),
        (
            "conv.weight",
            "recurrent.weight_ih_l0",
            "recurrent.weight_hh_l0",
            "classify.weight",
        ),
    ),
    "lstm": Case(lstm, normal(3, 7), ("conv.weight", *LSTM, "classify.weight")),
    "tokens": Case(
        Tokens,
        lambda generator: torch.randint(11, (SAMPLES, 7), generator=generator),
        ("token.weight", "position.weight", "conv.weight", "classify.weight"),
        tokens=True,
    ),
    "transposed": Case(
        transposed, normal(3, 7, 7), ("0.weight", "2.weight", "4.weight", "7.weight")
    ),
    "volume": Case(volume, normal(2, 3, 3, 3), ("0.weight", "3.weight", "5.weight"), coupled=True),
    "group_norm": Case(group_norm, normal(3, 5, 5), ("0.weight", "3.weight", "8.weight")),
    "squeeze_excite": Case(
        SqueezeExcite,
        normal(3, 5, 5),
        ("conv.weight", "squeeze.weight", "excite.weight", "hard.weight", "classify.weight"),
    ),
    "cells": Case(
        cells,
        normal(3, 6, 6),
        (
            "0.weight",
            *(f"1.{n}.{part}.weight" for n in (0, 1) for part in ("first", "second")),
            *(f"2.0.{part}.weight" for part in ("first", "second", "skip")),
            "5.weight",
        ),
        coupled=True,
        blocks=("1.0", "1.1", "2.0"),
    ),
    "patches": Case(
        Patches,
        normal(3, 6, 6),
        (
            "embed.weight",
            *(
                f"layers.{n}.{part}.weight"
                for n in range(3)
                for part in ("qkv", "mix", "feed.1", "feed.3")
            ),
            "classify.weight",
        ),
        blocks=("layers.0", "layers.1", "layers.2"),
    ),
    "two_inputs": Case(
        TwoInputs,
        two_inputs,
        ("left", "join.weight", "classify.weight"),
        modular=ModularTwoInputs,
    ),
}

UNCOUPLED = [name for name, case in MODELS.items() if not (case.coupled or case.random)]


def make(name: str, dtype: torch.dtype = torch.float32) -> tuple[nn.Module, tuple[Any, Tensor]]:
    """The model and its batch, with the same numbers on every machine and in every dtype.

    The numbers are drawn in float32 from separate generators: z from N(0, 1) for each parameter, in
    the order of the sorted names; the parameter is z / sqrt(fan-in) if it has at least two
    dimensions, otherwise 0.1 z, plus 1 for the weights of normalisations.
    """
    case = MODELS[name]
    generator = torch.Generator().manual_seed(sum(name.encode()))
    inputs, targets = batch(name, generator)
    with torch.random.fork_rng(devices=[]):
        model = case.build()
        feed(model.eval(), inputs)  # gives the lazy layer its shape
    fill(model, generator)
    inputs = change(inputs, dtype)
    return model.to(dtype).train(), (inputs, targets)


def batch(name: str, generator: Generator) -> tuple[Any, Tensor]:
    """The inputs and labels of a model."""
    inputs = MODELS[name].inputs(generator)
    return inputs, torch.randint(CLASSES, (SAMPLES,), generator=generator)


def fill(model: nn.Module, generator: Generator) -> None:
    """Draw all parameters and running statistics."""
    with torch.no_grad():
        for name, tensor in sorted(model.named_parameters()):
            drawn = torch.randn(tensor.shape, generator=generator)
            if tensor.ndim >= 2:
                tensor.copy_(drawn * tensor[0].numel() ** -0.5)
            else:
                tensor.copy_(0.1 * drawn + (1 if name.endswith("weight") else 0))
        for name, tensor in sorted(model.named_buffers()):
            if tensor.is_floating_point():
                drawn = 0.1 * torch.rand(tensor.shape, generator=generator)
                tensor.copy_(drawn if name.endswith("mean") else 1 + drawn)


def feed(model: nn.Module, inputs: Any) -> Any:
    """The model's outputs."""
    return model(**inputs) if isinstance(inputs, dict) else model(inputs)


def change(inputs: Any, dtype: torch.dtype) -> Any:
    """The inputs, with floating-point numbers converted to a dtype."""
    if isinstance(inputs, dict):
        return {name: change(tensor, dtype) for name, tensor in inputs.items()}
    return inputs.to(dtype) if inputs.is_floating_point() else inputs
