"""NAS-Bench-ASR: isomorphic cells, and the acoustic models built from the cells."""

import random
from collections import Counter
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foretell import score
from foretell.errors import ForetellError
from foretell.spaces import Arch, NASBenchASR, enumerate_space, sample, size
from foretell.spaces.asr_network import network

SMALL = NASBenchASR(features=6, phonemes=4, groups=3, group_width=1, cells=1)
ALL = (0, 1, 1, 0, 1, 2, 1, 0, 1)  # linear, conv5 and conv5d2 with some skips
ASKED = ["synflow", "snip", "grad_norm", "params", "l2_norm"]


def sound(samples: int = 2, steps: int = 9, features: int = 6) -> Tensor:
    return torch.randn(samples, steps, features, generator=torch.Generator().manual_seed(0))


def ctc(outputs: Tensor, targets: Tensor) -> Tensor:
    """Connectionist temporal classification with the last class as the blank."""
    frames = torch.full((len(outputs),), outputs.shape[1])
    lengths = torch.full((len(targets),), targets.shape[1])
    logs = outputs.log_softmax(-1).transpose(0, 1)
    return F.ctc_loss(logs, targets, frames, lengths, blank=outputs.shape[-1] - 1)


@pytest.fixture(scope="module")
def members() -> dict[Arch, list[Arch]]:
    """Canonical architecture -> all architectures isomorphic to it."""
    space, found = NASBenchASR(), dict[Arch, list[Arch]]()
    for arch in enumerate_space(space):
        found.setdefault(space.canonical(arch), []).append(arch)
    return found


def test_there_are_the_published_numbers_of_architectures(members: dict[Arch, list[Arch]]) -> None:
    assert size(NASBenchASR()) == 13_824
    assert len(members) == 8_242
    without_zero = [arch for arch in members if 5 not in (arch[0], arch[2], arch[5])]
    assert len(without_zero) == 5**3 * 2**6
    assert all(members[arch] == [arch] for arch in without_zero)


def what_it_computes(arch: Arch) -> object:
    """The value of a cell as a set of terms, each with the number of times that it is added."""
    values: list[Counter[object]] = [Counter(["input"])]
    for operation, *skips in (arch[:2], arch[2:5], arch[5:]):
        value: Counter[object] = Counter()
        if operation != 5:
            value[operation, frozenset(values[-1].items())] += 1
        for source, skip in zip(values, skips, strict=True):
            value.update(source if skip else {})
        values.append(value)
    return frozenset(values[-1].items())


def test_networks_compute_as_many_functions_as_the_docstring_says() -> None:
    assert len({what_it_computes(arch) for arch in enumerate_space(NASBenchASR())}) == 9_135


def test_architectures_with_the_same_graph_after_pruning_are_isomorphic(
    members: dict[Arch, list[Arch]],
) -> None:
    cut = SMALL.canonical((0, 0, 5, 0, 0, 5, 0, 0, 0))  # nothing reaches the output
    assert (5, 0, 5, 0, 0, 5, 0, 0, 0) in members[cut]
    behind = (3, 0, 0, 0, 0, 5, 0, 0, 1)  # conv7, linear, and a skip around a zero
    assert SMALL.canonical(behind) == (3, 0, 0, 1, 1, 5, 0, 0, 1)  # the edges of zero are removed
    assert members[(3, 0, 0, 1, 1, 5, 0, 0, 1)][0] == behind
    skipped = (3, 0, 5, 0, 1, 2, 0, 0, 0)  # conv7, and a skip around a zero to conv5d2
    assert SMALL.canonical(skipped) != SMALL.canonical((3, 0, 5, 0, 0, 2, 0, 0, 0))
    assert SMALL.canonical(skipped) == SMALL.canonical((3, 1, 5, 0, 1, 2, 0, 0, 0))
    assert all(max(group, key=lambda arch: arch[::-1]) == own for own, group in members.items())


def test_texts_are_read_with_names_or_numbers() -> None:
    for text in (
        '[["linear", 1], ["conv5", 0, 1], ["conv5d2", 1, 0, 1]]',
        "((0, 1), (1, 0, 1), (2, 1, 0, 1))",
        "[['linear', 1], [1, 0, 1], ('conv5d2', 1, 0, 1)]",
    ):
        assert SMALL.parse(text) == ALL
    assert SMALL.format(ALL) == '[["linear", 1], ["conv5", 0, 1], ["conv5d2", 1, 0, 1]]'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("conv5", "is not a NAS-Bench-ASR cell; expected"),
        ("[[0, 1], [1, 0, 1]]", "is not a NAS-Bench-ASR cell; expected"),
        ("[[0, 1], [1, 0], [2, 1, 0, 1]]", "should be the operation of node 2 and its skips"),
        ("[['linera', 1], [1, 0, 0], [2, 1, 0, 1]]", "did you mean 'linear'"),
        ("[[6, 1], [1, 0, 0], [2, 1, 0, 1]]", "6 in .* is not an operation"),
        ("[[true, 1], [1, 0, 0], [2, 1, 0, 1]]", "True in .* is not an operation"),
        ("[[0, 2], [1, 0, 0], [2, 1, 0, 1]]", "should be 0 or 1 each"),
    ],
)
def test_an_invalid_cell_is_refused_with_the_reason(text: str, message: str) -> None:
    with pytest.raises(ForetellError, match=message):
        SMALL.parse(text)


def test_the_network_has_the_published_sizes() -> None:
    nodes = ((0, 0), (1, 0, 0), (4, 0, 0, 0))
    settings = NASBenchASR().settings()
    shapes = {n: list(p.shape) for n, p in network(nodes, **settings).named_parameters()}  # type: ignore[arg-type]
    for block, (wide, cells, before) in enumerate(
        [(600, 3, 80), (800, 4, 600), (1000, 5, 800), (1200, 6, 1000)], start=1
    ):
        cell = f"block{block}.{1 + cells}"
        assert shapes[f"block{block}.0.convolution.weight"] == [wide, before, 8]
        assert shapes[f"{cell}.operations.1.0.weight"] == [wide, wide]
        assert shapes[f"{cell}.operations.2.0.convolution.weight"] == [wide, wide // 100, 5]
        assert shapes[f"{cell}.operations.3.0.convolution.weight"] == [wide, wide // 100, 7]
        assert f"block{block}.{2 + cells}.norm.weight" not in shapes
    assert shapes["head.0.weight"] == [49, 1200]


def test_a_network_computes_its_formula() -> None:
    model, x = SMALL.build(ALL, seed=1), sound()
    own = model.state_dict()

    def norm(x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, x.shape[2:], own[f"{name}.weight"], own[f"{name}.bias"], 1e-3)

    def convolved(x: Tensor, name: str, stride: int = 1, dilation: int = 1) -> Tensor:
        """Each output is a sum over the frames it sees, up to 4 / stride ahead."""
        weight, bias = own[f"{name}.weight"], own[f"{name}.bias"]
        groups = x.shape[2] // weight.shape[1]
        reach, ahead = (weight.shape[2] - 1) * dilation, 4 // stride
        padded = F.pad(x, (0, 0, reach - ahead, ahead))
        frames = [padded[:, i : i + reach + 1 : dilation] for i in range(0, x.shape[1], stride)]
        sums = []
        for frame in frames:  # [samples, kernel, channels]
            parts = zip(frame.chunk(groups, 2), weight.chunk(groups), strict=True)
            sums.append(torch.cat([torch.einsum("nkc,ock->no", f, w) for f, w in parts], 1) + bias)
        return torch.stack(sums, 1).clamp(0, 20)

    with torch.no_grad():
        y = x
        for block, (cells, stride) in enumerate([(1, 1), (2, 1), (3, 2), (4, 2)], start=1):
            name = f"block{block}"
            y = norm(convolved(y, f"{name}.0.convolution", stride), f"{name}.1")
            for cell in range(2, 2 + cells):
                at = f"{name}.{cell}.operations"
                weight, bias = own[f"{at}.1.0.weight"], own[f"{at}.1.0.bias"]
                first = (y @ weight.T + bias).clamp(0, 20) + y
                second = convolved(first, f"{at}.2.0.convolution") + first
                third = convolved(second, f"{at}.3.0.convolution", dilation=2) + y + second
                y = norm(third, f"{name}.{cell}.norm")
        expected = y @ own["head.0.weight"].T + own["head.0.bias"]
        assert expected.shape == (2, 3, 5)
        torch.testing.assert_close(model(x), expected)


def test_the_lstm_on_top_agrees_with_pytorch() -> None:
    model: Any = NASBenchASR(6, 4, 3, 1, 1, lstm=7).build(ALL, seed=0)
    layer, x = model.head[1], sound(3, 5, 18)
    torchs = nn.LSTM(18, 7, batch_first=True)
    with torch.no_grad():
        torchs.weight_ih_l0.copy_(layer.from_input.weight)
        torchs.weight_hh_l0.copy_(layer.from_state.weight)
        torchs.bias_ih_l0.copy_(layer.from_input.bias)
        torchs.bias_hh_l0.zero_()
        torch.testing.assert_close(layer(x), torchs(x)[0])
    assert model(sound()).shape == (2, 3, 5)


def test_operations_that_the_output_does_not_need_are_kept_but_not_computed() -> None:
    def gradients(arch: Arch) -> dict[str, bool]:
        """Whether the output depends on each weight of the last cell."""
        model = SMALL.build(arch, seed=0)
        cell = {n: p for n, p in model.named_parameters() if n.startswith("block4.5.operations")}
        grads = torch.autograd.grad(
            model(sound()).square().sum(), list(cell.values()), allow_unused=True
        )
        return {n: g is not None for n, g in zip(cell, grads, strict=True) if "weight" in n}

    def used(arch: Arch) -> list[bool]:
        return list(gradients(arch).values())

    assert used((0, 0, 0, 0, 0, 5, 0, 0, 1)) == [True, True]
    assert used((0, 0, 0, 0, 0, 5, 0, 1, 0)) == [True, False]
    assert used((0, 0, 0, 0, 0, 5, 1, 0, 0)) == [False, False]


def test_activations_are_at_most_twenty() -> None:
    model: Any = SMALL.build(ALL, seed=0)
    first, cell = model.block1[0], model.block1[2]
    assert first(1000 * sound()).max() == 20
    assert cell.operations["1"](1000 * torch.ones(1, 1, 9)).max() == 20


def test_architectures_run_give_gradients_and_are_scored() -> None:
    rng, targets = random.Random(0), torch.tensor([[0, 1], [2, 3]])
    for arch in [(5, 0, 5, 0, 0, 5, 0, 0, 0), ALL, *(sample(SMALL, rng) for _ in range(12))]:
        model = SMALL.build(arch, seed=0)
        assert model(sound()).shape == (2, 3, 5)
        found = score(model, (sound(), targets), ASKED, loss=ctc)
        dead = arch == (5, 0, 5, 0, 0, 5, 0, 0, 0)
        why = dict.fromkeys(ASKED) | ({"synflow": found["synflow"].why} if dead else {})
        assert {name: scored.why for name, scored in found.items()} == why
        assert found["params"].value == sum(p.numel() for p in model.parameters())


def test_dropout_is_off_by_default() -> None:
    still: Any = SMALL.build(ALL, seed=0)
    assert still.training
    assert torch.equal(still(sound()), still(sound()))
    shaken: Any = NASBenchASR(6, 4, 3, 1, 1, dropout=0.5).build(ALL, seed=0)
    assert not torch.equal(shaken(sound()), shaken(sound()))


@pytest.mark.parametrize(("setting", "value"), [("cells", 0), ("lstm", -1), ("dropout", 1.0)])
def test_settings_out_of_range_are_refused(setting: str, value: Any) -> None:
    with pytest.raises(ForetellError, match=f"asr: {setting} is {value!r}"):
        NASBenchASR(**{setting: value})
