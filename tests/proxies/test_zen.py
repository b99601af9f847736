"""zen: which features it reads, what it draws, and what it leaves unchanged."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from foretell import ForetellError, score
from foretell.batch import Batch
from foretell.engine.passes import PASSES
from foretell.engine.passes import gaussian as gaussian_pass_module
from foretell.engine.passes.gaussian import gaussian_model, pooled_features
from foretell.engine.subject import Subject, Unavailable
from tests.support.models import SAMPLES, conv, make
from tests.support.scores import subject_of, values, why

POOLED: dict[str, Callable[[Tensor], Tensor]] = {
    "adaptive": lambda x: F.adaptive_avg_pool2d(x, 1).flatten(1),
    "average": lambda x: F.avg_pool2d(x, x.shape[-1]).flatten(1),
    "mean": lambda x: x.mean((2, 3)),
    "mean, kept": lambda x: torch.mean(x, dim=[-2, -1], keepdim=True).flatten(1),
    "tokens": lambda x: x.flatten(2).transpose(1, 2).mean(1),
    "tokens of a channel": lambda x: x.flatten(2).mean(-1),
    "one axis after the other": lambda x: x.mean(3).mean(2),
    "one axis after the other, kept": lambda x: x.mean(3, True).mean(2, True).flatten(1),
    "channels last": lambda x: x.permute(0, 2, 3, 1).mean((1, 2)),
}


class Pooled(nn.Module):
    """A network with a convolution, a pooling in a branch, a normalisation, and a last pooling."""

    def __init__(self, pool: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self.classify, self.pool = conv(3, 6), nn.Linear(6, 4), pool

    def forward(self, x: Tensor) -> Tensor:
        """The branch runs first, and its pooling must not be taken for the last."""
        x = self.conv(x)
        x = x * F.adaptive_avg_pool2d(x, 1)
        pooled = self.pool(x)
        centred = pooled[:, None] - pooled[:, None].mean(-1, keepdim=True)
        out: Tensor = self.classify(centred[:, 0])
        return out


@pytest.mark.parametrize("pool", POOLED)
def test_the_last_maps_are_found_by_operation(pool: str) -> None:
    model = Pooled(POOLED[pool])
    _, batch = make("residual")
    subject = subject_of(model, batch)
    drawn = gaussian_model(model, "all", Generator().manual_seed(0), torch.float32)
    features, variances = pooled_features(subject, drawn, subject.batch, 0)
    maps = F.conv2d(batch[0], drawn["conv.weight"], padding=1)
    expected = maps * maps.mean((2, 3), keepdim=True)
    assert features.shape[0] == SAMPLES
    assert features.numel() == expected.numel()
    assert features.abs().sum() == pytest.approx(float(expected.abs().sum()), rel=1e-4)
    assert not variances
    spread = {score(Pooled(p), batch, "zen")["zen"].value for p in POOLED.values()}
    assert max(spread) - min(spread) < 1e-4


def centred(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """A normalisation over some axes, written out."""
    apart = x - x.mean(axes, keepdim=True)
    return apart * (apart.square().mean(axes, keepdim=True) + 1e-5).rsqrt()


def in_groups(x: Tensor) -> Tensor:
    """Group normalisation, written out."""
    return centred(x.unflatten(1, (2, 3)), (2, 3, 4)).flatten(1, 2)


def gated(x: Tensor) -> Tensor:
    """Maps times the sigmoid of their means."""
    return x * torch.sigmoid(x.mean((2, 3)))[:, :, None, None].expand_as(x)


WRITTEN_OUT: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "instances": (lambda x: F.instance_norm(x), lambda x: centred(x, (2, 3))),
    "groups": (lambda x: F.group_norm(x, 2), in_groups),
    "tokens": (
        lambda x: F.layer_norm(x.flatten(2).mT, (6,)),
        lambda x: centred(x.flatten(2).mT, (-1,)),
    ),
    "vectors": (
        lambda x: F.layer_norm(x.flatten(1), (150,)),
        lambda x: centred(x.flatten(1), (1,)),
    ),
    "pooled": (
        lambda x: F.layer_norm(x.mean((2, 3)), (6,)).repeat(1, 25),
        lambda x: centred(x.mean((2, 3)), (-1,)).repeat(1, 25),
    ),
    "gate": (lambda x: x * torch.sigmoid(x.sum((2, 3), keepdim=True) / 25), gated),
}
"""Normalisations and a gate, and the same written with means."""


@pytest.mark.parametrize("way", WRITTEN_OUT)
def test_the_means_of_a_normalisation_or_a_gate_are_no_pooling(way: str) -> None:
    found = []
    for change in WRITTEN_OUT[way]:
        model = Pooled(nn.Identity())
        model.classify = nn.Linear(150, 4)
        model.forward = lambda x, m=model, f=change: m.classify(f(m.conv(x)).flatten(1))
        found.append(score(model.double(), make("residual", torch.float64)[1], "zen")["zen"])
    assert found[0].why is found[1].why is None
    assert found[1].value == pytest.approx(found[0].value, rel=1e-9)


class Averaging(nn.Module):
    """A network with a moving average of its first weight, which it updates as it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.follow = nn.Linear(12, 9), nn.Linear(12, 9).requires_grad_(False)
        self.classify = nn.Linear(9, 4)

    def forward(self, x: Tensor) -> Any:
        """Logits."""
        with torch.no_grad():
            self.follow.weight.mul_(0.5)
        x = x.flatten(1)
        return self.classify(torch.tanh(self.enter(x) + self.follow(x)))


def test_what_the_model_writes_to_its_weights_is_no_change_of_the_features() -> None:
    model, (_, batch) = Averaging(), make("mlp")
    subject = subject_of(model, batch)
    drawn = gaussian_model(model, "all", Generator().manual_seed(0), torch.float32)
    first, _ = pooled_features(subject, drawn, subject.batch, 0)
    again, _ = pooled_features(subject, drawn, subject.batch, 0)
    assert torch.equal(first, again)


def test_without_a_pooling_it_is_the_output() -> None:
    model, batch = make("mlp")
    subject = subject_of(model, batch)
    drawn = gaussian_model(model, "all", Generator().manual_seed(0), torch.float32)
    features, _ = pooled_features(subject, drawn, subject.batch, 0)
    hidden = F.relu(batch[0].flatten(1) @ drawn["1.weight"].T)
    assert torch.allclose(features, hidden @ drawn["3.weight"].T, rtol=1e-5, atol=1e-5)


def test_the_gaussian_model_keeps_what_is_neither_weight_nor_scale() -> None:
    model = nn.Sequential(conv(3, 4), nn.BatchNorm2d(4), nn.PReLU(4), nn.Conv1d(4, 4, 1))
    model[0].weight.requires_grad_(False)
    drawn = gaussian_model(model, "all", Generator().manual_seed(0), torch.float32)
    assert drawn["0.weight"].std() == pytest.approx(1, abs=0.2)  # frozen or not
    assert drawn["3.weight"].std() == pytest.approx(1, abs=0.5)
    assert not drawn["0.bias"].any()
    assert not drawn["1.bias"].any()
    assert drawn["1.weight"].tolist() == [1.0] * 4
    assert drawn["2.weight"].tolist() == [0.25] * 4
    assert drawn["1.running_var"].tolist() == [1.0] * 4
    fewer = gaussian_model(model, "conv2d_linear", Generator().manual_seed(0), torch.float32)
    assert torch.equal(fewer["3.weight"], model[3].weight)


def test_zen_knows_only_the_shape_of_the_batch() -> None:
    for name in ("residual_bn", "dropout", "two_inputs"):
        model, (inputs, labels) = make(name)
        change = (lambda t: t * 7 - 1) if name != "two_inputs" else None
        other = {k: v * 7 - 1 for k, v in inputs.items()} if change is None else change(inputs)
        one = score(model, (inputs, labels), "zen")
        assert values(one) == values(score(model, (other, None), "zen"))


def test_dropout_is_no_disturbance() -> None:
    """With different masks for x and x + 0.01ε, the difference would be many times as large."""
    model, batch = make("dropout")
    quiet = nn.Sequential(*(nn.Identity() if "Dropout" in str(m) else m for m in model))
    noisy, still = (score(m, batch, "zen")["zen"].value for m in (model, quiet))
    assert noisy == pytest.approx(still, abs=1.0)


def test_frozen_statistics_are_what_batch_norm_divides_by() -> None:
    model, batch = make("residual_bn", torch.float64)
    found = PASSES["gaussian"](subject_of(model, batch, batch_norm="frozen"), set(), {})
    expected = [model.get_buffer(f"norm{i}.running_var") for i in (1, 2)]
    assert all(map(torch.equal, found["norm_variances"], expected))


def test_zen_beyond_all_floats() -> None:
    deep = nn.Sequential(*(nn.Linear(300, 300) for _ in range(20)))
    batch = torch.ones(2, 300), torch.zeros(2, dtype=torch.long)
    assert score(deep, batch, "zen")["zen"].value == pytest.approx(20 * math.log(300) / 2, rel=0.1)
    deeper = nn.Sequential(*(nn.Linear(300, 300) for _ in range(300)))
    assert why(deeper, batch, "zen") == (
        "with Gaussian weights, the features exceed the range of floats"
    )


def test_zen_of_what_does_not_change() -> None:
    _, batch = make("residual")
    assert why(Pooled(lambda x: torch.zeros_like(x).mean((2, 3))), batch, "zen") == (
        "the features do not change with the input"
    )
    model, batch = make("tokens")
    assert "integers" in why(model, batch, "zen")
    found = PASSES["gaussian"](subject_of(model, batch), set(), {})
    assert all(isinstance(value, Unavailable) for value in found.values())


@pytest.mark.parametrize("name", ["shared", "tied"])
def test_weights_in_several_places_are_replaced_in_each(name: str) -> None:
    model, batch = make(name)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    subject = subject_of(model, batch)
    drawn = gaussian_model(model, "all", Generator().manual_seed(0), torch.float32)
    features, _ = pooled_features(subject, drawn, subject.batch, 0)
    other, _ = make(name)
    other.load_state_dict(drawn, strict=False)
    assert torch.equal(features, other(batch[0]))
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_out_of_memory_names_the_parts_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    forward = gaussian_pass_module.pooled_features

    def scarce(subject: Subject, drawn: Any, part: Batch, index: int) -> Any:
        if len(part) > 2:
            raise torch.OutOfMemoryError("a card of two samples")
        return forward(subject, drawn, part, index)

    monkeypatch.setattr(gaussian_pass_module, "pooled_features", scarce)
    model, batch = make("residual")
    with pytest.raises(ForetellError, match="out of memory at 6 samples") as caught:
        score(model, batch, "zen")
    assert "micro_batch=1" in str(caught.value)
    score(model, batch, "zen", micro_batch=2)
